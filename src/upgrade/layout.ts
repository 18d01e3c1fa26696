/** Adds properties to a request or a response. */
type Addition = (...args: never[]) => void;

/** Picks an addition, or nothing in its place. */
type Pick = <Add extends Addition>(add: Add) => Add;

const pick: Pick = (add) => add;
const skip: Pick = <Add extends Addition>(_add: Add) => (() => {}) as Addition as Add;

// Express changes the prototypes of requests and responses. Before V8 13 what is added to an object after that gives it a layout
// that no other object shares: 1 KiB for as long as it lives, and 5 µs. From V8 13 (Node 24) on it does not, but the change
// takes longer the more properties there are, and an object with accessors of its own becomes a hash table of 1.6 KiB, once
// garbage has been collected for the first time.
const isAddedLast = Number.parseInt(process.versions.v8, 10) >= 13;

const [before, behind] = { false: [pick, skip], true: [skip, pick] }[`${isAddedLast}`] as [Pick, Pick];

/** What is best added before the application has seen the object: `add` where that is so, nothing elsewhere. */
export const early: Pick = before;

/** What is best added behind that: `add` where that is so, nothing elsewhere. */
export const late: Pick = behind;
