import type { ServerResponse } from 'node:http';
import { early, late } from './layout.js';

/** Adds accessors to a response. */
type Add = (res: ServerResponse, accessors: PropertyDescriptorMap) => void;

const add: Add = (res, accessors) => {
  Object.defineProperties(res, accessors);
};

/** Adds accessors before the application has seen the response, if that is when to add them. */
export const addEarly: Add = early(add);

/** Adds accessors when they are needed, unless they are there. */
export const addLate: Add = late(add);
