import type { DeflateSetting } from '../../framing/deflate-pool.js';
import { compressForMany } from '../../framing/deflater.js';
import { makeFrame, payloadOf } from '../../framing/frame.js';
import { FrameRun } from '../../framing/frame-run.js';
import { BINARY_FRAME, FIN, RSV1, TEXT_FRAME } from '../../framing/opcodes.js';
import { flushAllInSlices, type SliceTarget } from './slices.js';

/**
 * A whole message that goes to many. Its bytes are copied once, and all connections share its frame: one as it is, and
 * one for each deflate setting.
 */
export class SharedMessage {
  readonly text: boolean;
  /** The payload, which does not change any more. */
  readonly data: Buffer;
  /** Passes over those that the system has not taken the last batch of. */
  readonly volatile: boolean;
  /** Where it has to wait, it takes the place of a waiting message with the same slot. */
  readonly slot: string | undefined;
  readonly #compress: boolean | undefined;
  /** Its frame as it is, uncompressed. */
  readonly plainFrame: FrameRun;
  #compressions: SharedCompression[] | undefined;

  constructor(data: string | Uint8Array, options: SharedMessageOptions) {
    const { text, compress, volatile = false, slot } = options;
    const frame = makeFrame(FIN | (text ? TEXT_FRAME : BINARY_FRAME), data);
    this.text = text;
    this.data = payloadOf(frame);
    this.volatile = volatile;
    this.slot = slot;
    this.#compress = compress;
    this.plainFrame = new FrameRun(frame);
  }

  /** Bytes of the frame as it is. */
  get size(): number {
    return this.plainFrame.byteLength;
  }

  /** Itself: what waits at a sender is either shared by many, or not. */
  get shared(): SharedMessage {
    return this;
  }

  /** Whether connections with a deflate setting, or without one, are to get it compressed. */
  isCompressedFor(setting: DeflateSetting | undefined): boolean {
    return setting !== undefined && (this.#compress ?? this.data.length >= setting.threshold);
  }

  /** The frame for connections with a deflate setting, or without one; or its compression, as long as that takes. */
  frameFor(setting: DeflateSetting | undefined): FrameRun | SharedCompression {
    if (setting === undefined || !this.isCompressedFor(setting)) return this.plainFrame;
    const compression = this.#compressionFor(setting);
    return compression.frame ?? compression;
  }

  /** Whether it is being compressed for somebody who has asked for its frame. */
  get isBeingCompressed(): boolean {
    return this.#compressions?.some(({ frame }) => frame === undefined) === true;
  }

  /** Resolves when each frame that anybody has asked for is there. */
  async whenReady(): Promise<void> {
    await Promise.all((this.#compressions ?? []).map(({ done }) => done));
  }

  #compressionFor(setting: DeflateSetting): SharedCompression {
    this.#compressions ??= [];
    for (const known of this.#compressions) if (known.setting === setting) return known;
    const compression = new SharedCompression(setting, this);
    this.#compressions.push(compression);
    return compression;
  }
}

/** How a message to many is sent. */
export interface SharedMessageOptions {
  readonly text: boolean;
  /** `undefined` leaves it to size. */
  readonly compress?: boolean | undefined;
  readonly volatile?: boolean | undefined;
  readonly slot?: string | undefined;
}

/** A message in its compressed form, or on its way there, for all connections with a setting. */
export class SharedCompression {
  readonly setting: DeflateSetting;
  /** Whoever has asked for the frame before it was there gets a slice of time when it is. */
  readonly waiters: SliceTarget[] = [];
  readonly done: Promise<void>;
  frame: FrameRun | undefined;

  constructor(setting: DeflateSetting, { text, data, plainFrame }: SharedMessage) {
    this.setting = setting;
    this.done = new Promise((resolve) => {
      compressForMany(setting, data, (error, out) => {
        // Nobody is hurt by a message that is not compressed after all.
        const firstByte = FIN | RSV1 | (text ? TEXT_FRAME : BINARY_FRAME);
        this.frame = error === null ? new FrameRun(makeFrame(firstByte, out)) : plainFrame;
        flushAllInSlices(this.waiters);
        resolve();
      });
    });
  }
}
