// Files that are dropped anywhere on the page.

/** onFiles gets them; whether a file may be dropped now is said by isWelcome. */
export function takeDrops(onFiles, isWelcome) {
  let depth = 0; // elements entered and not left: leaving one often means entering another
  const show = () => document.body.classList.toggle("is-dropping", depth > 0 && isWelcome());

  addEventListener("dragenter", ({ dataTransfer }) => {
    if (dataTransfer.types.includes("Files")) depth++;
    show();
  });
  addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    show();
  });
  addEventListener("dragover", (event) => event.preventDefault()); // else nothing may be dropped
  addEventListener("drop", (event) => {
    event.preventDefault(); // else the browser leaves the page for the file
    depth = 0;
    show();
    if (isWelcome()) onFiles([...event.dataTransfer.files]);
  });
}
