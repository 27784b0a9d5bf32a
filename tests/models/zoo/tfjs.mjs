// Runs a published graph by TensorFlow.js:
//   node tfjs.mjs NODE_MODULES FOLDER_OF_MODEL_JSON INPUT SHAPE OUTPUT
// INPUT and OUTPUT are raw float32, SHAPE is JSON; the seconds of a second run are printed as JSON.
import fs from 'node:fs';
import {createRequire} from 'node:module';

const [modules, folder, input, shape, output] = process.argv.slice(2);
const require = createRequire(`${fs.realpathSync(modules)}/`);
const tf = require('@tensorflow/tfjs');
require('@tensorflow/tfjs-backend-wasm');

// The WebAssembly backend has no einsum. Products of two operands are matrix products between
// transpositions.
function einsum({inputs, attrs}) {
  const [from, to] = attrs.equation.replaceAll(' ', '').split('->');
  const [a, b] = from.split(',').map((axes) => [...axes]);
  const tensors = Object.values(inputs);
  const sizes = {};
  [a, b].forEach((axes, i) => axes.forEach((axis, j) => { sizes[axis] = tensors[i].shape[j]; }));
  const both = a.filter((axis) => b.includes(axis));
  const batch = both.filter((axis) => to.includes(axis));
  const summed = both.filter((axis) => !to.includes(axis));
  const [left, right] = [a, b].map((axes) => axes.filter((axis) => !both.includes(axis)));
  const count = (axes) => axes.reduce((n, axis) => n * sizes[axis], 1);
  const matrix = (tensor, axes, order, shape) => {
    const permutation = order.map((axis) => axes.indexOf(axis));
    return tf.reshape(tf.transpose(tensor, permutation), shape);
  };
  const rows = [count(batch), count(left), count(summed)];
  const columns = [count(batch), count(summed), count(right)];
  const x = matrix(tensors[0], a, [...batch, ...left, ...summed], rows);
  const y = matrix(tensors[1], b, [...batch, ...summed, ...right], columns);
  const axes = [...batch, ...left, ...right];
  const product = tf.reshape(tf.matMul(x, y), axes.map((axis) => sizes[axis]));
  return tf.transpose(product, [...to].map((axis) => axes.indexOf(axis)));
}

tf.registerKernel({
  kernelName: 'Einsum',
  backendName: 'wasm',
  kernelFunc: (call) => tf.tidy(() => einsum(call)),
});
await tf.setBackend('wasm');
await tf.ready();

const model = JSON.parse(fs.readFileSync(`${folder}/model.json`));
const shards = model.weightsManifest.flatMap((group) => group.paths);
const floats = (buffer) => new Uint8Array(buffer).buffer;
const graph = await tf.loadGraphModel({
  load: async () => ({
    modelTopology: model.modelTopology,
    weightSpecs: model.weightsManifest.flatMap((group) => group.weights),
    weightData: floats(Buffer.concat(shards.map((path) => fs.readFileSync(`${folder}/${path}`)))),
    signature: model.signature,
  }),
});
const x = tf.tensor(new Float32Array(floats(fs.readFileSync(input))), JSON.parse(shape));
let y;
let seconds;
for (let run = 0; run < 2; run++) {
  const [started, before] = [performance.now(), process.cpuUsage()];
  const result = graph.execute(x);
  y = await result.data();
  result.dispose();
  const {user, system} = process.cpuUsage(before);
  seconds = {wall: (performance.now() - started) / 1e3, cpu: (user + system) / 1e6};
}
console.log(JSON.stringify({...seconds, simd: await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT')}));
fs.writeFileSync(output, Buffer.from(y.buffer, y.byteOffset, y.byteLength));
