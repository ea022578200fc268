// Takes files that the user drops anywhere on the page.

/** onFiles: gets the files. isWelcome: returns whether the page takes files now. */
export function takeDrops(onFiles, isWelcome) {
  let depth = 0; // elements entered and not left: leaving an element often means entering another
  const show = () => document.body.classList.toggle("is-dropping", depth > 0 && isWelcome());

  addEventListener("dragenter", ({ dataTransfer }) => {
    if (dataTransfer.types.includes("Files")) depth++;
    show();
  });
  addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    show();
  });
  addEventListener("dragover", (event) => event.preventDefault()); // needed to allow a drop
  addEventListener("drop", (event) => {
    event.preventDefault(); // without this, the browser opens the file in place of the page
    depth = 0;
    show();
    if (isWelcome()) onFiles([...event.dataTransfer.files]);
  });
}
