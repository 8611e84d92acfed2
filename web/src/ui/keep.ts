//! What the device keeps: settings and drafts, never anything secret. A storage that refuses is not an error.

export interface Shelf {
  get(key: string): string | null;
  set(key: string, value: string | null): void;
}

function shelf(storage: () => Storage): Shelf {
  return {
    get(key) {
      try {
        return storage().getItem(key);
      } catch {
        return null;
      }
    },
    set(key, value) {
      try {
        if (value === null) storage().removeItem(key);
        else storage().setItem(key, value);
      } catch {
        // Full or forbidden: the page works without.
      }
    },
  };
}

/** Stays on the device. */
export const device = shelf(() => localStorage);
/** Stays as long as this tab. */
export const tab = shelf(() => sessionStorage);

export function readJson(from: Shelf, key: string): unknown {
  try {
    return JSON.parse(from.get(key) ?? 'null');
  } catch {
    return null;
  }
}
