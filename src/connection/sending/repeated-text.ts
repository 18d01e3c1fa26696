/** Shorter texts are encoded without a call into the runtime; longer ones are not worth their memory. */
const SHORTEST = 49;
const LONGEST = 4096;

/** The last text of this tick, and its UTF-8 form if it has been sent again. */
let lastText: string | undefined;
let lastBytes: Buffer | undefined;

/**
 * A loop that sends the same text to everybody has it encoded once.
 *
 * @returns the UTF-8 form of a text that is sent again, otherwise the text itself
 */
export function encodedIfRepeated(text: string): string | Buffer {
  if (text.length < SHORTEST || text.length > LONGEST) return text;
  if (text !== lastText) {
    lastText = text;
    lastBytes = undefined;
    return text;
  }
  lastBytes ??= Buffer.from(text);
  return lastBytes;
}

/** The tick is over: a text may be a part of a much longer one, which is not to be kept for its sake. */
export function forgetText(): void {
  lastText = lastBytes = undefined;
}
