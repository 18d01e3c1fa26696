/** Numbers by name, and names by number, as an `enum` of TypeScript has them. */
export type Enumeration<Members extends Readonly<Record<string, number>>> = {
  readonly [Name in keyof Members]: Members[Name];
} & {
  readonly [Name in keyof Members as Members[Name]]: Name;
};

/** Any number of an {@link Enumeration}. */
export type MemberOf<Members> = Extract<Members[Extract<keyof Members, string>], number>;

/** Lets numbers give their names back. The names by number do not show up among the keys. */
export function enumeration<const Members extends Readonly<Record<string, number>>>(
  members: Members,
): Enumeration<Members> {
  const named = { ...members };
  for (const [name, number] of Object.entries(members)) Object.defineProperty(named, number, { value: name });
  return Object.freeze(named) as Enumeration<Members>;
}
