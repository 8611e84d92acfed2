//! Storage on the device and in the tab: settings and drafts, nothing secret. A storage that
//! refuses is not an error.

export interface KeyValueStore {
  get(key: string): string | null;
  set(key: string, value: string | null): void;
}

/** A store that can name its keys. */
export interface ListedStore extends KeyValueStore {
  keys(): string[];
}

function storeOn(storage: () => Storage): ListedStore {
  /** Values that the storage refused. They last as long as the page. */
  const inMemory = new Map<string, string>();
  return {
    get(key) {
      const value = inMemory.get(key);
      if (value !== undefined) return value;
      try {
        return storage().getItem(key);
      } catch {
        return null;
      }
    },
    set(key, value) {
      inMemory.delete(key);
      try {
        if (value === null) storage().removeItem(key);
        else storage().setItem(key, value);
      } catch {
        // Full or forbidden: in some browsers even reading `localStorage` throws.
        if (value !== null) inMemory.set(key, value);
      }
    },
    keys() {
      try {
        return [...inMemory.keys(), ...Object.keys(storage())];
      } catch {
        return [...inMemory.keys()];
      }
    },
  };
}

/** Stays on the device. */
export const deviceStore = storeOn(() => localStorage);
/** Stays as long as the tab. */
export const tabStore = storeOn(() => sessionStorage);

/** The store of the tab with the methods of a `Storage`. */
export const tabStorage: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> = {
  getItem: (key) => tabStore.get(key),
  setItem: (key, value) => tabStore.set(key, value),
  removeItem: (key) => tabStore.set(key, null),
};

/** Returns the stored value; `null` if there is none or if it is not JSON. */
export function readJson(store: KeyValueStore, key: string): unknown {
  try {
    return JSON.parse(store.get(key) ?? 'null');
  } catch {
    return null;
  }
}
