// The page: connects its parts, and gives each button its action.

import { takeDrops } from "./drop.js";
import { askedServer, filledModels } from "./models.js";
import { $, hasProblem, showProblem, showStatus } from "./panel.js";
import { Recorder } from "./recorder.js";
import { EXTENSIONS, copy, save } from "./results.js";
import { Spectrogram } from "./spectrogram.js";
import { TextView } from "./text-view.js";

let models = [];

const chosen = () => ({
  model: models.find(({ name }) => name === $("model").value) ?? null,
  phrases: $("phrases")
    .value.split("\n")
    .map((line) => line.trim())
    .filter(Boolean),
  key: $("key").value.trim(),
});

const view = new TextView($("final"), $("partial"));
const recorder = new Recorder(view, new Spectrogram($("spectrogram")), chosen);

async function readAll(files) {
  for (const file of files) {
    await recorder.read(file);
    if (hasProblem()) return; // show one problem at a time
  }
}

$("listen").onclick = () => (recorder.isBusy ? recorder.stop() : recorder.listen());
$("open").onclick = () => $("files").click();
$("files").onchange = async () => {
  const files = [...$("files").files];
  $("files").value = ""; // so that the user can choose the same file again
  await readAll(files);
};
$("phrases").oninput = () => {
  const { length } = chosen().phrases;
  $("phrases-count").textContent = length ? `(${length})` : "";
};
$("key-field").onsubmit = (event) => event.preventDefault(); // each take sends the key
for (const extension of EXTENSIONS) {
  $(`save-${extension}`).onclick = () => save(recorder.transcript, extension);
}
$("copy").onclick = () => copy(recorder.transcript).then(() => showStatus("Copied."), showProblem);
$("clear").onclick = () => {
  recorder.clear();
  $("listen").focus(); // the Clear button is disabled now
};
takeDrops(readAll, () => !recorder.isBusy && models.length > 0);

try {
  const server = await askedServer();
  models = server.models;
  filledModels($("model"), models);
  $("key-field").hidden = !server.needs_key;
} catch (error) {
  showProblem(error, () => location.reload());
}
recorder.refresh();
