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
      accuracy: [0.166, 0.243, 0.486, 0.94],
      mass: [[0.066, 0.076, 0.071, 0.073], [0.131, 0.147, 0.14, 0.14], [0.257, 0.276, 0.269, 0.252], [0.504, 0.521, 0.498, 0.466]],
    },
    "prompts": {
      accuracy: [0.234, 0.458, 0.748, 0.958],
      mass: [[0.066, 0.076, 0.077, 0.082], [0.13, 0.159, 0.148, 0.13], [0.257, 0.281, 0.266, 0.237], [0.504, 0.505, 0.49, 0.454]],
    },
    "prompt as reader": {
      accuracy: [0.302, 0.56, 0.805, 0.96],
      mass: [[0.136, 0.081, 0.064, 0.079], [0.288, 0.148, 0.121, 0.12], [0.453, 0.266, 0.261, 0.245], [0.644, 0.524, 0.505, 0.467]],
    },
    "everything": {
      accuracy: [0.724, 0.847, 0.935, 0.988],
      mass: [[0.799, 0.16, 0.085, 0.084], [0.756, 0.229, 0.181, 0.173], [0.744, 0.368, 0.281, 0.264], [0.78, 0.557, 0.514, 0.503]],
    },
    "one layer": {
      accuracy: [0.707, 0.825, 0.923, 0.98],
      mass: [[0.889, 0.889, 0.889, 0.889], [0.918, 0.918, 0.918, 0.918], [0.922, 0.922, 0.922, 0.922], [0.948, 0.948, 0.948, 0.948]],
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
        { name: "step", label: "Relevant tiles", min: 0, max: 3, step: 1, value: 2, shows: RELEVANT, digits: 0 },
      ],
      draw(state, picture) {
        const s = sample(state);
        picture.legend(s.methods.map((m) => [m.style, "line", m.name]));
        if (state.view === "accuracy") {
          picture.plane({ x: [0.9, 9], y: [0, 1], logX: true });
          picture.axes({ x: "relevant tiles", y: "accuracy", xTicks: RELEVANT });
          for (const m of s.methods) {
            const points = RELEVANT.map((count, step) => [count, TABLE[m.name].accuracy[step]]);
            picture.line(points, { class: `curve ${m.style}` });
            picture.points(points, { class: m.style, r: 4 });
          }
          picture.line([[s.relevant, 0], [s.relevant, 1]], { class: "curve muted", "stroke-dasharray": "4 4" });
          return;
        }
        picture.plane({ x: [0.8, 4.2], y: [0, 1] });
        picture.axes({ x: "layer", y: "attention mass", xTicks: [1, 2, 3, 4] });
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
