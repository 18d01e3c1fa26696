/** Opcodes of RFC 6455, section 5.2. From {@link CLOSE_FRAME} on they are those of control frames. */
export const CONTINUATION = 0x0;
export const TEXT_FRAME = 0x1;
export const BINARY_FRAME = 0x2;
export const CLOSE_FRAME = 0x8;
export const PING_FRAME = 0x9;
export const PONG_FRAME = 0xa;

/** Bits of a frame's first byte, beside the opcode. */
export const FIN = 0x80;
export const RSV1 = 0x40;
export const RSV2_AND_3 = 0x30;

/** Bit of a frame's second byte, beside the length. */
export const MASK = 0x80;

/** What stands in place of a length that takes 16 or 64 bits behind it. */
export const LENGTH_IN_16_BITS = 126;
export const LENGTH_IN_64_BITS = 127;
