/**
 * Express changes the prototypes of requests and responses. From V8 13 (Node 24) on, that makes a hash table of an object
 * with accessors of its own, once the garbage has been collected for the first time: 1.6 KiB for as long as the object
 * lives, and slow to use. So there they are added afterwards. Before V8 13 it is what is added afterwards that costs as
 * much, and they have to be there first.
 */
export const ACCESSORS_LAST: boolean = Number.parseInt(process.versions.v8, 10) >= 13;
