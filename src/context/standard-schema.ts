/**
 * A validator as https://standardschema.dev describes it, which those of zod, valibot, arktype and many more are.
 * Declared by its structure, as that page suggests, so that no package is needed for it.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    /** Version of the interface. */
    readonly version: 1;
    /** Name of the library. */
    readonly vendor: string;
    /** Validates, at once or not; never changes `value`. */
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    /** Never there at run time. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What a validator says: the value, perhaps transformed, or what is wrong. */
export type StandardResult<Output = unknown> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** One thing that is wrong with a value. */
export interface StandardIssue {
  /** In words. */
  readonly message: string;
  /** Where, from the outside in; nothing stands for the value itself. */
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined;
}

/** What a schema takes. */
export type SchemaInput<Schema extends StandardSchema> = NonNullable<Schema['~standard']['types']>['input'];

/** What a schema makes of it. */
export type SchemaOutput<Schema extends StandardSchema> = NonNullable<Schema['~standard']['types']>['output'];

/** Whether a value can be used as a schema. Those of arktype are functions. */
export function isStandardSchema(value: unknown): value is StandardSchema {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  const standard: unknown = Reflect.get(value, '~standard');
  return typeof standard === 'object' && standard !== null && 'validate' in standard;
}

/** The first issue in one line: `path.to.field: message`. */
export function describeIssues([first]: readonly StandardIssue[]): string {
  if (first === undefined) return 'not valid';
  const path = (first.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part));
  return path.length === 0 ? first.message : `${path.join('.')}: ${first.message}`;
}
