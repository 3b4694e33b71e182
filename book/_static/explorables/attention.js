// Chapter "models": attention weights of softmax prompt-attention on the tokens of one example.
(function () {
  "use strict";
  const inNode = typeof module === "object" && module.exports;
  const kit = inNode ? require("../explorable.js") : window.explorable;
  const { format } = kit;

  const NOISE = kit.normals(18, 200);

  const formulas = {
    softmax(scores) {
      const top = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - top));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      return weights.map((weight) => weight / total);
    },
    // Attention mass on the relevant tokens when irrelevant tokens are zero and carry no noise.
    noiselessMass(sparsity, promptNorm, contextNorm) {
      const odds = (1 - sparsity) / sparsity;
      return 1 / (1 + odds * Math.exp(-promptNorm * contextNorm));
    },
  };

  function sample(state) {
    const T = state.tokens;
    const relevant = kit.numRelevant(state.sparsity, T);
    const scores = [];
    for (let t = 0; t < T; t += 1) {
      scores.push(state.prompt * (t < relevant ? state.context : state.noise * NOISE[t]));
    }
    const weights = formulas.softmax(scores);
    const share = relevant / T; // the sparsity that T tokens can have
    return {
      relevant,
      share,
      weights,
      mass: weights.slice(0, relevant).reduce((sum, weight) => sum + weight, 0),
      noiseless: formulas.noiselessMass(share, state.prompt, state.context),
    };
  }

  kit.register(
    Object.assign(inNode ? module.exports : {}, {
      formulas,
      sample,
      name: "attention",
      title: "attention weights",
      aspect: 0.56,
      controls: [
        { name: "prompt", label: "Prompt norm \u03c4", min: 0, max: 6, step: 0.1, value: 1, digits: 1 },
        { name: "context", label: "Context norm Q", min: 0, max: 4, step: 0.1, value: 2, digits: 1 },
        { name: "sparsity", label: "Sparsity \u03b6", min: 0.02, max: 0.9, step: 0.02, value: 0.1 },
        { name: "noise", label: "Noise \u03c3", min: 0, max: 2, step: 0.1, value: 0.5, digits: 1 },
        { name: "tokens", label: "Tokens T", min: 10, max: 200, step: 10, value: 50, digits: 0 },
      ],
      draw(state, picture) {
        const s = sample(state);
        const T = state.tokens;
        const irrelevant = s.weights.slice(s.relevant).sort((a, b) => b - a);
        const weights = s.weights.slice(0, s.relevant).concat(irrelevant);
        picture.legend([
          ["relevant", "dot", "relevant tokens"],
          ["irrelevant", "dot", "irrelevant tokens"],
          ["theory", "line", "uniform weight 1/T"],
        ]);
        picture.plane({ x: [0, T + 1], y: [0, 1.08 * Math.max(1.5 / T, ...weights)] });
        const order = picture.width < 480 ? "" : ", then by weight";
        picture.axes({ x: `token, relevant ones first${order}`, y: "attention weight" });
        const r = picture.width / T > 8 ? 3.5 : 2.2;
        weights.forEach((weight, t) => {
          const style = t < s.relevant ? "relevant" : "irrelevant";
          picture.line([[t + 1, 0], [t + 1, weight]], { class: `stem ${style}` });
          picture.points([[t + 1, weight]], { class: style, r });
        });
        picture.line([[0, 1 / T], [T + 1, 1 / T]], { class: "curve theory", "stroke-dasharray": "7 4" });
      },
      describe(state) {
        const s = sample(state);
        return (
          `${s.relevant} of ${state.tokens} tokens are relevant, a share of ${format(s.share)}; ` +
          `they hold ${format(s.mass, 3)} of the attention. Without noise they would hold ` +
          `${format(s.noiseless, 3)}; mean pooling gives them ${format(s.share, 3)}.`
        );
      },
    }),
  );
})();
