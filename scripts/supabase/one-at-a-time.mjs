// Lets work on the same thing run one after another, and work on different things side by side.

/** @returns {<T>(key: string, work: () => Promise<T>) => Promise<T>} */
export function createQueues() {
  const lastByKey = new Map();
  return (key, work) => {
    const result = (lastByKey.get(key) ?? Promise.resolve()).then(work);
    const settled = result.then(() => {}, () => {});
    lastByKey.set(key, settled);
    settled.then(() => {
      if (lastByKey.get(key) === settled) lastByKey.delete(key);
    });
    return result;
  };
}
