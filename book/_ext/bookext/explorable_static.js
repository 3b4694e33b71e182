"use strict";
// Prints the picture that readers without JavaScript see, and its sentence, as one JSON object.
const [, , shared, file, alt] = process.argv;
const kit = require(shared);
const figure = require(file);
const answer = { svg: kit.staticSvg(figure, alt), text: figure.describe(kit.defaults(figure)) };
process.stdout.write(JSON.stringify(answer));
