//! The animals, drawn as speech tiles on a square of 40 units: the outer top corner is round, the
//! tail is at the outer foot, and one eye is beside the gap. All look to the left. A tile is one
//! colour, and what is cut out of it shows the background.

/** The parts of a drawing, in the order in which they are painted. */
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

/** Returns the path of a circle. */
const dot = (x: number, y: number, r: number): string => `M${x - r} ${y}a${r} ${r} 0 1 1 0 .01z`;

/** The outline of the tile. */
export const TILE = 'M10 11.5h11a9 9 0 0 1 9 9V34l-6-5.5H10z';
const EYE = dot(15.5, 19, 2.75);

/** The tile of a person without an animal. */
export const PLAIN: Drawing = { cut: EYE };

/** The drawing of each animal, by its key. */
export const ANIMALS: Readonly<Record<string, Drawing>> = {
  otter: {
    ink: dot(12, 11.5, 2.5) + dot(26.5, 12.5, 3),
    line: 'M7.5 25l-4-1M7.5 27.5l-4 .5',
    cut: EYE + 'M9.5 23h4a2.8 2.8 0 0 1 2.8 3v3H9.5z',
    over: dot(11, 24.75, 1.75),
  },
  fox: {
    ink: 'M10 14V4l7.5 7.5zM19 12l9.5-8L30 20.5z' + 'M12 16 3 24.5l7 4h2z',
    cut: EYE + dot(5, 23.9, 1.25),
    cutLine: 'M24 31.5l7-4.5',
  },
  owl: {
    ink: 'M10 16 6 5.5l11 6zM19 12l13.5-6.5L30 20.5z' + 'M10.5 21.5 7 25l3.5 1.5z',
    cut: dot(16.75, 19, 5.25),
    over: dot(15.75, 19, 2.4),
  },
  whale: {
    line: 'M20 10V7c0-2.5-5-2.5-5 .5M20 7c0-2.5 5-2.5 5 .5',
    cut: EYE,
    cutLine: 'M10 24h9.5M10 26.5h7',
  },
  deer: {
    line: 'M14 11.5V4M14 8.5 10 5.5M24 12V4M24 9l4.5-3',
    ink: 'M29 15l7-2.5c0 4-2.5 6-6 6z',
    cut: EYE + dot(24, 19, 1.1) + dot(26.5, 23, 1.1) + dot(22.5, 24, 1.1),
  },
  hare: {
    ink: 'M12 14V6a2.5 2.5 0 0 1 5 0v8zM20.5 14V7a2.5 2.5 0 0 1 5 0v9z',
    cut: EYE,
  },
  bear: {
    ink: dot(12.5, 11, 4.25) + dot(27, 12, 4.5) + 'M11 20H8a3.5 3.5 0 0 0 0 8.5h3z',
    cut: EYE + dot(7.6, 22.6, 1.4),
  },
  cat: {
    ink: 'M10 14V5l8 6.5zM19.5 12 28.5 5 30 20.5z',
    line: 'M7.5 23.5 3.5 22M7.5 26l-4 1',
    cut: EYE,
  },
  crane: {
    ink: 'M11 17l-8.5 3 8.5 2.5z',
    line: 'M18 28v9M18 37h-3',
    cut: EYE,
  },
  tiger: {
    ink: dot(13, 11.5, 3.5) + dot(26, 12.5, 4),
    cut: EYE,
    cutLine: 'M19.5 11v4.5M23 11.5l-.5 4.5M31 19.5h-5M31 23.5h-7M31 27.5h-5',
  },
  badger: {
    ink: dot(12.5, 12, 2.5) + dot(26.5, 13, 2.75) + 'M11 17.5 6 22.5V25h5z',
    cut: dot(15.5, 19, 2.1) + 'M11 13h10c2.5 0 4.5 1.2 5.5 3H9z' + 'M9.5 22.2h12c2.5 0 4 1 4.5 2.8H6z',
  },
  heron: {
    ink: 'M11 16l-9 4 9 2.5z',
    line: 'M24 12c4-1 7-4 12-4M26 14c4-.5 6-2 9-2',
    cut: EYE,
  },
  lynx: {
    ink: 'M10 14V2l2 5.5 5.5 4zM19.5 12l7-4L29 2l1 18.5z' + 'M10.5 20 6 22.5l4 .8-3.5 3 4 2.2z',
    cut: EYE + dot(24, 19.5, 1.2) + dot(26.5, 23.5, 1.2) + dot(21.5, 24, 1.2),
  },
  seal: {
    ink: 'M11 19.5H9a3 3 0 0 0 0 8h2z',
    line: 'M6 25.5 3 27M7 27.5l-2 2.5',
    cut: dot(16, 18.5, 3.25) + dot(7.5, 22, 1.1) + dot(24, 16, 1.25) + dot(26.5, 20.5, 1.25) + dot(23, 23.5, 1.25),
  },
  wren: {
    ink: 'M11 18.5 5 20l6 2zM22.5 15l5-12.5 6 2.5-5 14z',
    cut: EYE,
  },
  koala: {
    ink: dot(10.5, 12.5, 5.75) + dot(29, 14, 6.25) + 'M10.5 20a3.25 4 0 0 0 0 8z',
    cut: EYE + dot(29, 14, 2.75),
  },
  panda: {
    ink: dot(12, 11, 4) + dot(27, 12, 4.25) + 'M22 28.5l8 5.5V24z',
    line: TILE,
    tile: dot(16, 19.5, 4),
    cut: dot(15.25, 19, 1.75),
    over: dot(10.75, 25, 1.5),
  },
  swan: {
    ink: 'M11 10 4 14.5l7 2z',
    tile: 'M10 12.5a4.75 4.75 0 0 1 9.5 0c0 3-1.5 4-1.5 6h4.5a7.5 7.5 0 0 1 7.5 7.5v8l-6-5.5H10z',
    cut: dot(14.25, 12.5, 1.75),
    cutLine: 'M17 23.5h5c2 0 3.5 1 4 2.5',
  },
  turtle: {
    ink: dot(8.5, 21, 5) + 'M12 28h4v4h-4zM20 28h4v4h-4z',
    cut: dot(7.5, 20, 1.9),
    cutLine: 'M13 21h4l3-4.5h4l3 4.5M17 21l3 4.5h4l3-4.5M20 16.5l-2.5-5M24 16.5l2-3.5',
  },
  finch: {
    ink: 'M11 15.5 4.5 20l6.5 3.5z',
    cut: EYE,
    cutLine: 'M20.5 24l4-5M24.5 25.5l6-7.5',
  },
  dolphin: {
    ink: 'M17 12c2-4.5 5-6.5 9-7-1.5 3-1.5 5 0 8.5z' + 'M11 20.5H5a1.9 1.9 0 0 0 0 3.8h6z',
    cut: EYE + 'M9.5 29v-3c5-.5 10.5.5 13 3z',
  },
  hedgehog: {
    ink: 'M12 12l1-6 3.5 4 2.5-5.5 2.5 5 4-3.5.5 5.5 5-1-2 5 5 1.5-4 3.5 4.5 3.5-5 2-20 2z' + 'M11 20l-6.5 4.5L11 28z',
    cut: EYE,
    over: dot(5, 24.5, 1.5),
  },
  squirrel: {
    ink: 'M11 13 12.5 6.5 17 12zM27 27c8-2 10.5-9 8.5-14s-8.5-5-8.5-1c0 2 3.5 1.5 3.5 4.5z',
    cut: EYE,
    cutLine: 'M22 16v7.5M26 17v7',
  },
  magpie: {
    ink: 'M11 17 4 20.5l7 1.5zM24 27l14 11-11-3z',
    cut: EYE + 'M9.5 24.5h6.5c2.5 0 4 1.5 4 4.5H9.5z',
    cutLine: 'M23 18l5.5 7',
  },
};

/** Returns the drawing of an animal; the plain tile if there is no such animal. */
export function drawingOf(animal: string | null): Drawing {
  return (animal !== null && Object.hasOwn(ANIMALS, animal) && ANIMALS[animal]) || PLAIN;
}
