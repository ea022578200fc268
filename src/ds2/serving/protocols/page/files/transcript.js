// The transcript with its times, and its file formats. They are the same as in ds2.transcripts.

const PAUSE_S = 0.8; // a silence of this length ends a segment
const LONGEST_SEGMENT_S = 10; // nobody reads longer subtitles
/** Languages whose words have no spaces between them. */
const UNSPACED = new Set(["bo", "dz", "ja", "km", "lo", "my", "th", "yue", "zh"]);

/** Words in time order: { text, start, end, confidence, language }, times in seconds. */
export class Transcript {
  words = [];
  duration = 0; // seconds of all sound so far

  get text() {
    return joined(this.words);
  }

  /** The words in segments. A pause, a long segment or a change of language begins a new one. */
  segments() {
    const segments = [];
    for (const word of this.words) {
      const current = segments.at(-1);
      if (!current || !belongs(word, current)) segments.push([word]);
      else current.push(word);
    }
    return segments;
  }
}

function belongs(word, segment) {
  return (
    word.language === segment[0].language &&
    word.start - segment.at(-1).end < PAUSE_S &&
    word.end - segment[0].start <= LONGEST_SEGMENT_S
  );
}

/** The words' text. */
export function joined(words) {
  return words.map((word, index) => separator(words[index - 1], word) + word.text).join("");
}

/** The text before a word: "" between Mandarin characters, a space between other words. */
export function separator(before, word) {
  if (!before) return "";
  const isTight = UNSPACED.has(word.language) && !(isLatin(before.text) && isLatin(word.text));
  return isTight ? "" : " ";
}

function isLatin(text) {
  return /^[\x00-\x7f]*$/.test(text);
}

/** The words of a text without times. The times are spread evenly, and the confidences are 0. */
export function guessedWords(text, language, start, end) {
  const pieces = UNSPACED.has(language) ? text.match(/[\x21-\x7f]+|[^\x00-\x7f]/gu) : text.match(/\S+/g);
  const each = (end - start) / (pieces?.length ?? 1);
  return (pieces ?? []).map((piece, index) => ({
    text: piece,
    start: rounded(start + index * each, 3),
    end: rounded(start + (index + 1) * each, 3),
    confidence: 0,
    language,
  }));
}

/** By file extension: the media type, and the function that writes the file. */
export const WRITERS = {
  txt: { type: "text/plain", write: toText },
  srt: { type: "application/x-subrip", write: toSubtitles },
  json: { type: "application/json", write: toJson },
};

function toText(transcript) {
  return transcript
    .segments()
    .map((words) => `${joined(words)}\n`)
    .join("");
}

function toSubtitles(transcript) {
  const cue = (words, index) =>
    `${index + 1}\n${clock(words[0].start)} --> ${clock(words.at(-1).end)}\n${joined(words)}\n\n`;
  return transcript.segments().map(cue).join("");
}

function toJson(transcript) {
  const fields = {
    text: transcript.text,
    language: transcript.words[0]?.language ?? null,
    duration: transcript.duration,
    segments: transcript.segments().map((words, id) => ({
      id,
      start: words[0].start,
      end: words.at(-1).end,
      text: joined(words),
      confidence: rounded(mean(words.map((word) => word.confidence)), 4),
      words: words.map(({ text, start, end, confidence }) => {
        return { word: text, start, end, confidence: rounded(confidence, 4) };
      }),
    })),
  };
  return `${JSON.stringify(fields, null, 2)}\n`;
}

function clock(time_s) {
  const milliseconds = Math.round(1000 * time_s);
  const digits = (value, width = 2) => String(value).padStart(width, "0");
  const hours = Math.floor(milliseconds / 3_600_000);
  const minutes = Math.floor(milliseconds / 60_000) % 60;
  const seconds = Math.floor(milliseconds / 1000) % 60;
  return `${digits(hours)}:${digits(minutes)}:${digits(seconds)},${digits(milliseconds % 1000, 3)}`;
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The value, rounded to this number of decimals. */
export const rounded = (value, decimals) => Math.round(value * 10 ** decimals) / 10 ** decimals;
