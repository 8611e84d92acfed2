//! A soft sound of two notes, made by the browser, so that no file is loaded.
import { deviceStore, type KeyValueStore } from './storage';

const KEY = 'maju.sound';
/** Hertz. The second note follows the first, like an answer. */
const NOTES = [587, 784] as const;
/** The loudest moment of a note, where 1 is the maximum. */
const PEAK = 0.06;
const NOTE_S = 0.32;
const GAP_S = 0.13;

export class Sound {
  #context: AudioContext | null = null;
  readonly #store: KeyValueStore;

  constructor(store: KeyValueStore) {
    this.#store = store;
  }

  /** The person wants no sound, on this device. Stored. */
  get muted(): boolean {
    return this.#store.get(KEY) === 'off';
  }

  set muted(muted: boolean) {
    this.#store.set(KEY, muted ? 'off' : null);
  }

  /**
   * Prepares the sound. Called while the person presses something, because some browsers allow
   * sound only to pages that prepared it then.
   */
  prime(): void {
    if (this.muted || typeof AudioContext === 'undefined') return;
    try {
      this.#context ??= new AudioContext();
      void this.#context.resume().catch(() => undefined);
    } catch {
      // The device has no sound.
    }
  }

  play(): void {
    this.prime();
    const context = this.#context;
    if (context === null || this.muted) return;
    for (const [at, hertz] of NOTES.entries()) playNote(context, hertz, context.currentTime + at * GAP_S);
  }
}

function playNote(context: AudioContext, hertz: number, at: number): void {
  const oscillator = context.createOscillator();
  const volume = context.createGain();
  oscillator.type = 'sine';
  oscillator.frequency.value = hertz;
  // Rises and falls smoothly, because a jump would click.
  volume.gain.setValueAtTime(0.0001, at);
  volume.gain.exponentialRampToValueAtTime(PEAK, at + 0.02);
  volume.gain.exponentialRampToValueAtTime(0.0001, at + NOTE_S);
  oscillator.connect(volume).connect(context.destination);
  oscillator.start(at);
  oscillator.stop(at + NOTE_S);
}

export const sound = new Sound(deviceStore);

/** Plays the soft sound once, unless the person has muted it. */
export function playSoft(): void {
  sound.play();
}
