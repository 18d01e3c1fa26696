import type { ServerResponse } from 'node:http';

/** Adds accessors to a response. */
type Add = (res: ServerResponse, accessors: PropertyDescriptorMap) => void;

const add: Add = (res, accessors) => {
  Object.defineProperties(res, accessors);
};
const skip: Add = () => {};

// Express changes the prototypes of responses. From V8 13 (Node 24) on, that makes a hash table of an object
// with accessors of its own, once garbage has been collected for the first time: 1.6 KiB for as long as the object lives,
// and slow to use. Before V8 13 it is what is added afterwards that costs as much.
const isAddedLast = Number.parseInt(process.versions.v8, 10) >= 13;

const [early, late] = { false: [add, skip], true: [skip, add] }[`${isAddedLast}`] as [Add, Add];

/** Adds accessors before the application has seen the response, if that is when to add them. */
export const addEarly: Add = early;

/** Adds accessors when they are needed, unless they are there. */
export const addLate: Add = late;
