import { isUtf8 } from 'node:buffer';

// Below this native code costs more than it saves.
const NATIVE_FROM = 32;

/**
 * Checks text that arrives in pieces, cut anywhere, and fails at the first byte that cannot belong to valid UTF-8
 * (RFC 3629, RFC 6455 section 8.1): no overlong forms, no surrogates, nothing above U+10FFFF. One instance checks one
 * message after the other.
 */
export class Utf8Validator {
  // The rest of a character that the last piece cut: how many bytes, and the range of the next one.
  #missing = 0;
  #lowest = 0x80;
  #highest = 0xbf;

  /** Takes `chunk[start, end)`. `false`: the text is not UTF-8, whatever may follow; it must not be continued. */
  write(chunk: Buffer, start: number, end: number): boolean {
    if (end - start < NATIVE_FROM) return this.#walk(chunk, start, end);
    let from = start;
    // At most three bytes complete the character that the last piece cut.
    while (this.#missing > 0) {
      if (!this.#walk(chunk, from, from + 1)) return false;
      from++;
    }
    const to = completeUntil(chunk, end);
    return isUtf8(chunk.subarray(from, to)) && this.#walk(chunk, to, end);
  }

  /** Whether the text may end here, that is, not within a character. The next piece begins a new text. */
  end(): boolean {
    const complete = this.#missing === 0;
    this.#missing = 0;
    this.#lowest = 0x80;
    this.#highest = 0xbf;
    return complete;
  }

  #walk(chunk: Buffer, start: number, end: number): boolean {
    let missing = this.#missing;
    let lowest = this.#lowest;
    let highest = this.#highest;
    for (let at = start; at < end; at++) {
      const byte = chunk[at] as number;
      if (missing > 0) {
        if (byte < lowest || byte > highest) return false;
        missing--;
        lowest = 0x80;
        highest = 0xbf;
      } else if (byte >= 0x80) {
        // 80 to BF continue a character; C0 and C1 could only begin overlong forms of ASCII.
        if (byte < 0xc2 || byte > 0xf4) return false;
        if (byte < 0xe0) {
          missing = 1;
        } else if (byte < 0xf0) {
          missing = 2;
          if (byte === 0xe0) lowest = 0xa0;
          else if (byte === 0xed) highest = 0x9f;
        } else {
          missing = 3;
          if (byte === 0xf0) lowest = 0x90;
          else if (byte === 0xf4) highest = 0x8f;
        }
      }
    }
    this.#missing = missing;
    this.#lowest = lowest;
    this.#highest = highest;
    return true;
  }
}

/**
 * Where the last character begins that is not ASCII, if that is among the last three bytes, of four or more; `end`
 * otherwise. Only such a character can be cut.
 */
function completeUntil(chunk: Buffer, end: number): number {
  for (let back = 1; back <= 3; back++) {
    if ((chunk[end - back] as number) >= 0xc0) return end - back;
  }
  return end;
}
