//! What the device keeps: settings and drafts, never anything secret. A storage that refuses is not an error.

export interface Shelf {
  get(key: string): string | null;
  set(key: string, value: string | null): void;
}

function shelf(storage: () => Storage): Shelf {
  /** What the storage did not take: it lasts as long as this page. */
  const held = new Map<string, string>();
  return {
    get(key) {
      const kept = held.get(key);
      if (kept !== undefined) return kept;
      try {
        return storage().getItem(key);
      } catch {
        return null;
      }
    },
    set(key, value) {
      held.delete(key);
      try {
        if (value === null) storage().removeItem(key);
        else storage().setItem(key, value);
      } catch {
        // Full or forbidden: even to name the storage may throw.
        if (value !== null) held.set(key, value);
      }
    },
  };
}

/** Stays on the device. */
export const device = shelf(() => localStorage);
/** Stays as long as this tab. */
export const tab = shelf(() => sessionStorage);

/** The tab's shelf in the shape of a storage. */
export const tabStorage: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> = {
  getItem: (key) => tab.get(key),
  setItem: (key, value) => tab.set(key, value),
  removeItem: (key) => tab.set(key, null),
};

export function readJson(from: Shelf, key: string): unknown {
  try {
    return JSON.parse(from.get(key) ?? 'null');
  } catch {
    return null;
  }
}
