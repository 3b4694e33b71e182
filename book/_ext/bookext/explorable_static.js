"use strict";
// Prints the picture that readers without JavaScript see, its sentence, its state and its numbers.
const [, , shared, file, alt] = process.argv;
const kit = require(shared);
const figure = require(file);
const state = kit.defaults(figure);
const answer = {
  svg: kit.staticSvg(figure, alt),
  text: figure.describe(state),
  state,
  csv: kit.staticCsv(figure),
};
process.stdout.write(JSON.stringify(answer));
