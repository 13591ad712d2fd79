/** Runs a deed of which no event tells. */
export const silently = <Result>(events: unknown[], deed: () => Result): Result => {
  const before = events.length;
  try {
    return deed();
  } finally {
    events.length = before;
  }
};
