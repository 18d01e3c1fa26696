/**
 * An object without a prototype and with `properties`, which has none either. V8 makes a hash table of what
 * `Object.create(null)` returns, which takes 184 bytes if it is empty; this one takes 56.
 */
export function bareObject(properties?: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const bare: Record<string, unknown> = Object.setPrototypeOf({}, null);
  // To spread a hash table takes V8 half as long again, or twice as long
  for (const name in properties) bare[name] = properties[name];
  return bare;
}
