// Chapter "vision": attention mass on relevant patches, layer by layer, from the committed records.
(function () {
  "use strict";
  const inNode = typeof module === "object" && module.exports;
  const kit = inNode ? require("../explorable.js") : window.explorable;
  const { format } = kit;

  // Means over seeds in lib/prompt_attention/vision/records/relevant.json, for M = 1, 2, 4, 8; a
  // test holds them to the records.
  const RELEVANT = [1, 2, 4, 8];
  const TABLE = {
    "untouched": {
      accuracy: [0.183, 0.267, 0.498, 0.903],
      mass: [[0.071, 0.093, 0.069, 0.073], [0.14, 0.174, 0.131, 0.14], [0.272, 0.313, 0.249, 0.261], [0.522, 0.541, 0.485, 0.489]],
    },
    "prompts": {
      accuracy: [0.269, 0.5, 0.759, 0.952],
      mass: [[0.071, 0.097, 0.068, 0.07], [0.139, 0.193, 0.138, 0.145], [0.272, 0.316, 0.255, 0.267], [0.522, 0.504, 0.489, 0.489]],
    },
    "prompt as reader": {
      accuracy: [0.322, 0.568, 0.81, 0.974],
      mass: [[0.151, 0.084, 0.072, 0.069], [0.295, 0.143, 0.15, 0.136], [0.454, 0.279, 0.266, 0.253], [0.636, 0.535, 0.493, 0.487]],
    },
    "everything": {
      accuracy: [0.728, 0.825, 0.944, 0.985],
      mass: [[0.896, 0.099, 0.087, 0.085], [0.827, 0.198, 0.168, 0.166], [0.748, 0.33, 0.272, 0.275], [0.773, 0.556, 0.502, 0.5]],
    },
    "one layer": {
      accuracy: [0.708, 0.82, 0.915, 0.977],
      mass: [[0.891, 0.891, 0.891, 0.891], [0.916, 0.916, 0.916, 0.916], [0.918, 0.918, 0.918, 0.918], [0.945, 0.945, 0.945, 0.945]],
    },
  };
  const STYLES = {
    untouched: "muted",
    prompts: "theory",
    "prompt as reader": "prompt",
    everything: "linear",
    "one layer": "relevant",
  };
  const NUM_TOKENS = 16;

  function sample(state) {
    const relevant = RELEVANT[state.step];
    const methods = Object.entries(TABLE).map(([name, { accuracy, mass }]) => ({
      name,
      style: STYLES[name],
      accuracy: accuracy[state.step],
      points: mass[state.step].map((value, layer) => [layer + 1, value]),
    }));
    return { relevant, share: relevant / NUM_TOKENS, methods };
  }

  kit.register(
    Object.assign(inNode ? module.exports : {}, {
      formulas: { table: () => TABLE },
      sample,
      name: "vision",
      title: "attention layer by layer",
      aspect: 0.6,
      controls: [
        {
          name: "view",
          label: "Show",
          kind: "select",
          value: "mass",
          options: [
            { value: "mass", label: "attention, layer by layer" },
            { value: "accuracy", label: "accuracy against relevant tiles" },
          ],
        },
        { name: "step", label: "Relevant tiles, 2 to the power of", min: 0, max: 3, step: 1, value: 2, digits: 0 },
      ],
      draw(state, picture) {
        const s = sample(state);
        picture.legend(s.methods.map((m) => [m.style, "line", m.name]));
        if (state.view === "accuracy") {
          picture.plane({ x: [0.9, 9], y: [0, 1], logX: true });
          picture.axes({ x: "relevant tiles", y: "accuracy" });
          for (const m of s.methods) {
            const points = RELEVANT.map((count, step) => [count, TABLE[m.name].accuracy[step]]);
            picture.line(points, { class: `curve ${m.style}` });
            picture.points(points, { class: m.style, r: 4 });
          }
          picture.line([[s.relevant, 0], [s.relevant, 1]], { class: "curve muted", "stroke-dasharray": "4 4" });
          return;
        }
        picture.plane({ x: [0.8, 4.2], y: [0, 1] });
        picture.axes({ x: "layer", y: "attention mass" });
        picture.line([[0.8, s.share], [4.2, s.share]], { class: "curve muted", "stroke-dasharray": "4 4" });
        for (const m of s.methods) {
          picture.line(m.points, { class: `curve ${m.style}` });
          picture.points(m.points, { class: m.style, r: 4 });
        }
      },
      describe(state) {
        const s = sample(state);
        const found = s.methods.map((m) => `${m.name} ${format(m.accuracy)}`);
        return (
          `With ${s.relevant} of ${NUM_TOKENS} tiles relevant, uniform attention would give them ` +
          `${format(s.share)}. Accuracies: ${found.join(", ")}.`
        );
      },
    }),
  );
})();
