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
      accuracy: [0.171, 0.25, 0.493, 0.944],
      mass: [[0.076, 0.069, 0.066, 0.084], [0.149, 0.135, 0.132, 0.157], [0.288, 0.264, 0.257, 0.282], [0.543, 0.509, 0.494, 0.497]],
    },
    "prompts": {
      accuracy: [0.263, 0.501, 0.769, 0.965],
      mass: [[0.076, 0.077, 0.069, 0.087], [0.149, 0.15, 0.148, 0.15], [0.288, 0.269, 0.266, 0.286], [0.543, 0.511, 0.494, 0.502]],
    },
    "prompt as reader": {
      accuracy: [0.417, 0.636, 0.827, 0.958],
      mass: [[0.212, 0.066, 0.062, 0.08], [0.352, 0.114, 0.126, 0.144], [0.504, 0.237, 0.248, 0.269], [0.638, 0.54, 0.49, 0.491]],
    },
    "everything": {
      accuracy: [0.714, 0.847, 0.939, 0.986],
      mass: [[0.794, 0.137, 0.117, 0.115], [0.784, 0.301, 0.203, 0.19], [0.778, 0.361, 0.297, 0.287], [0.798, 0.577, 0.513, 0.514]],
    },
    "one layer": {
      accuracy: [0.696, 0.829, 0.926, 0.986],
      mass: [[0.895, 0.895, 0.895, 0.895], [0.915, 0.915, 0.915, 0.915], [0.927, 0.927, 0.927, 0.927], [0.94, 0.94, 0.94, 0.94]],
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
