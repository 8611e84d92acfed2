//! The limits of the server that the page knows. Sizes of the page itself are where they are used.
export * from './generated/limits';
