//! The animals, drawn as speech tiles on a square of 40 units: the outer top corner is round, the
//! tail is at the outer foot, and one eye is beside the gap. All look to the left. A tile has one
//! colour, and what is cut out of it shows the background.
//!
//! The server draws the same paths on the landing page (src/accounts/drawing.rs).
import drawings from './animals.json';

/** The paths of a drawing, in the order in which they are painted. */
export interface Drawing {
  /** Filled, beside or behind the tile: ears, beaks, fins. */
  ink?: string;
  /** Lines outside the tile: antlers, whiskers. */
  line?: string;
  /** The tile itself, if it is not the usual one. */
  tile?: string;
  /** Cut out of the tile, with the eye. */
  cut?: string;
  /** Lines cut out of the tile: stripes, wings. */
  cutLine?: string;
  /** Filled, on top of what is cut out. */
  over?: string;
}

/** The outline of the tile. */
export const TILE = drawings.tile;

/** The tile of a person without an animal. */
export const PLAIN: Drawing = drawings.plain;

/** The drawing of each animal, by its key. */
export const ANIMALS: Readonly<Record<string, Drawing>> = drawings.animals;

/** Returns the drawing of an animal; the plain tile if there is no such animal. */
export function drawingOf(animal: string | null): Drawing {
  return (animal !== null && Object.hasOwn(ANIMALS, animal) && ANIMALS[animal]) || PLAIN;
}
