import type { Request, Response } from 'express';

// The types of Express need not be installed. `build:express-types` has compilers pass over the import in the declarations if
// it leads nowhere: a name that cannot be found is then of type `any`, which only `unknown` is assignable to as well.

/** `Type` if it is that of something installed. */
type IfInstalled<Type, Otherwise> = unknown extends Type ? Otherwise : Type;

/** Express's `Request` in a project with its types, parameters of the route as strings; otherwise `Otherwise`. */
export type ExpressRequestOr<Otherwise> = IfInstalled<Request<Record<string, string>>, Otherwise>;

/** Express's `Response` in a project with its types, otherwise `Otherwise`. */
export type ExpressResponseOr<Otherwise> = IfInstalled<Response, Otherwise>;
