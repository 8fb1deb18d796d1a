#!/usr/bin/env node
// Builds the native backend: it compiles the addon of @tensorflow/tfjs-node-gpu, and the operations in native/, against
// TensorFlow's current Python wheel.
//
// The installer of that package downloads TensorFlow 2.9. The Python wheel of a current TensorFlow holds the same C
// library (libtensorflow_cc, libtensorflow_framework) and its headers, and the addon uses nothing of Node but Node-API,
// so that a C++ compiler is enough. It runs as `npm run native` in a clone, and as `denoise-gym native` where the
// package is installed; it is plain JavaScript, so that it runs with Node alone.
//
// Everything is made under a temporary name and renamed when it is complete. So a run that is killed at any moment
// leaves nothing incomplete that the next run would use: the next run removes what is left, and continues from the last
// complete part.
import { existsSync, rmSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  compileAddon,
  compileOperations,
  operationsHash,
  operationsLibrary,
  operationsStamp,
} from './native/compile.mjs';
import { findTools, lastLines, NativeError, run } from './native/tools.mjs';

const tensorflow = '2.21.0';
const addonPackage = '@tensorflow/tfjs-node-gpu';
const addonVersion = '4.22.0';
const stampName = 'built-by-denoise-gym.json';
/** What is unpacked of a wheel. A folder with another number here is unpacked anew. */
const unpackVersion = 2;

/**
 * The path of a file of an installed package, from this package or from the folder that the user works in; else
 * undefined.
 */
function locate(file) {
  for (const from of [import.meta.url, join(process.cwd(), 'package.json')]) {
    try {
      return createRequire(from).resolve(file);
    } catch {
      // The package is not installed there.
    }
  }
  return undefined;
}

/**
 * Which wheel has TensorFlow's library for a machine, as its name on PyPI and its platform tags; undefined if none has.
 */
function wheelFor(os, cpu, gpu) {
  if (gpu && !(os === 'linux' && cpu === 'x64')) return undefined;
  if (os === 'linux' && cpu === 'x64')
    return { name: gpu ? 'tensorflow' : 'tensorflow-cpu', tags: ['manylinux_2_27_x86_64', 'manylinux_2_17_x86_64'] };
  if (os === 'linux' && cpu === 'arm64')
    return { name: 'tensorflow', tags: ['manylinux_2_27_aarch64', 'manylinux_2_17_aarch64'] };
  if (os === 'darwin' && cpu === 'arm64') return { name: 'tensorflow', tags: ['macosx_12_0_arm64'] };
  return undefined;
}

/** A download that takes longer is given up, so that nothing waits for ever on a network that does not answer. */
const downloadLimit = 20 * 60_000;

/** The arguments with which pip downloads wheels alone, without what they depend on, into `folder`. */
const pipDownload = (folder) => [
  ...['-m', 'pip', 'download', '--no-deps', '--only-binary', ':all:', '--disable-pip-version-check', '-d', folder],
];

/**
 * Downloads TensorFlow's wheel into `folder`. It may be for any version of Python, since only the C library is used.
 * @returns the path of the wheel
 */
async function download(python, wheel, folder, temp) {
  const spec = `${wheel.name}==${tensorflow}`;
  const platforms = wheel.tags.flatMap((tag) => ['--platform', tag]);
  const attempts = [
    [], // The wheel for the local Python is tried first, since pip may have it in its cache.
    ...['3.13', '3.12', '3.11', '3.10'].map((version) => [
      ...['--python-version', version, '--implementation', 'cp', ...platforms],
    ]),
  ];
  let failure = '';
  for (const attempt of attempts) {
    // pip keeps an incomplete download in TMPDIR, which is removed with everything else of this run.
    const result = await run(python, [...pipDownload(folder), ...attempt, spec], {
      show: process.stdout.isTTY,
      env: { TMPDIR: temp },
      limit: downloadLimit,
    });
    if (result.ok) {
      const file = (await readdir(folder)).find((name) => name.endsWith('.whl'));
      if (file) return join(folder, file);
    }
    failure = result.output;
    if (!/No matching distribution|Could not find a version|not a supported wheel/.test(failure)) break;
  }
  throw new NativeError(
    `pip could not download ${spec}:\n${lastLines(failure)}\nCheck the network and pip's index, or download that wheel elsewhere and run this again with --wheel FILE.`,
  );
}

/** A Python program that prints what a wheel asks for in its extra `and-cuda`: NVIDIA's libraries. */
const cudaRequirements = `
import re, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    metadata = next(name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))
    text = archive.read(metadata).decode()
print(*re.findall(r'^Requires-Dist: (nvidia-[^;]+); extra == "and-cuda"', text, re.M), sep='\\n')
`;

/** Downloads NVIDIA's libraries for a wheel of TensorFlow into `folder`. @returns the paths of their wheels */
async function downloadCuda(python, wheel, folder, temp) {
  const printed = await run(python, ['-c', cudaRequirements, wheel]);
  const specs = printed.output.trim().split('\n').filter(Boolean);
  if (!printed.ok || specs.length === 0)
    throw new NativeError(`${wheel} does not say which of NVIDIA's libraries it needs.`);
  const result = await run(python, [...pipDownload(folder), ...specs], {
    show: process.stdout.isTTY,
    env: { TMPDIR: temp },
    limit: downloadLimit,
  });
  if (!result.ok) throw new NativeError(`pip could not download NVIDIA's libraries:\n${lastLines(result.output)}`);
  return (await readdir(folder)).filter((name) => name.endsWith('.whl')).map((name) => join(folder, name));
}

/**
 * A Python program that unpacks the two libraries and the headers that the addon needs, where the addon looks for them,
 * and beside them NVIDIA's libraries, where wheels of these are given too.
 */
const unpack = `
import os, re, shutil, sys, zipfile
deps, wheel, *cuda = sys.argv[1:]
headers = re.compile(r'tensorflow/include/((tensorflow/c|tsl/platform|xla/tsl/c|tensorflow/core/platform|'
                     r'tensorflow/core/common_runtime/next_pluggable_device/c)/.*\\.h)$')
library = re.compile(r'tensorflow/(libtensorflow_(cc|framework)(\\.so\\.2|\\.2\\.dylib))$')
found = set()
with zipfile.ZipFile(wheel) as archive:
    for member in archive.namelist():
        lib, header = library.match(member), headers.match(member)
        if not (lib or header):
            continue
        target = os.path.join(deps, 'lib', lib.group(1)) if lib else os.path.join(deps, 'include', header.group(1))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with archive.open(member) as source, open(target, 'wb') as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
        if lib:
            found.add(lib.group(2))
            suffix = '.dylib' if lib.group(3).endswith('dylib') else '.so'
            name = 'libtensorflow' if lib.group(2) == 'cc' else 'libtensorflow_framework'
            os.symlink(lib.group(1), os.path.join(deps, 'lib', name + suffix))
for wheel in cuda:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            # TensorFlow's libraries look for them in ../nvidia/*/lib.
            if re.match(r'nvidia/[^/]+/lib/[^/]+\\.so[^/]*$', member):
                target = os.path.join(deps, member)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with archive.open(member) as source, open(target, 'wb') as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
if found != {'cc', 'framework'} or not os.path.exists(os.path.join(deps, 'include', 'tensorflow', 'c', 'c_api.h')):
    sys.exit('this wheel lacks the C library or its headers')
`;

/**
 * A program that loads the addon, and the operations where their path is given, multiplies two matrices with each and
 * prints TensorFlow's version, or fails.
 */
const check = `
const util = require('node:util');
util.isNullOrUndefined ??= (x) => x === null || x === undefined;
util.isArray ??= Array.isArray;
const [, packageFolder, operations] = process.argv;
const tf = require(packageFolder);
const [a, b] = [tf.tensor2d([[1, 2], [3, 4]]), tf.tensor2d([[5, 6], [7, 8]])];
const expect = (what, product) => {
  const values = product.dataSync().join();
  if (values !== '19,22,43,50') throw new Error(what + ' is wrong: ' + values);
};
expect('a matrix product', tf.matMul(a, b));
if (operations) {
  require(operations);
  const { binding } = tf.backend();
  const attributes = Object.entries({ inputCount: 2, outputCount: 1, ints: [0, 0, 0], floats: [] }).map(
    ([name, value]) => ({ name, value, type: name === 'floats' ? binding.TF_ATTR_FLOAT : binding.TF_ATTR_INT }));
  expect('a linear layer', tf.backend().executeMultipleOutputs('GymLinear', attributes, [a, b], 1)[0]);
}
console.log('TensorFlow ' + tf.backend().binding.TF_Version);
`;

async function verify(packageFolder, operations) {
  const args = ['-e', check, packageFolder, ...(operations ? [operations] : [])];
  const result = await run(process.execPath, args, { env: { TF_CPP_MIN_LOG_LEVEL: '3' } });
  const version = /TensorFlow (\S+)/.exec(result.output)?.[1];
  if (result.ok) return { ok: true, version };
  const cause = result.output.split('\n').find((line) => /Error|error|cannot|ended by/.test(line));
  return { ok: false, reason: (cause ?? lastLines(result.output, 3)).trim() };
}

/**
 * Removes the folders of runs that were killed. The folder of a run that is still going on stays, for an hour at most.
 */
async function sweep(packageFolder) {
  for (const name of await readdir(packageFolder)) {
    const pid = Number(/^\.native-(\d+)\.tmp$/.exec(name)?.[1]);
    if (!(pid > 0)) continue;
    const folder = join(packageFolder, name);
    const { mtimeMs } = await stat(folder);
    if (!alive(pid) || Date.now() - mtimeMs > 3_600_000) await rm(folder, { recursive: true, force: true });
  }
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Moves a complete folder or file to its place. What was in that place is moved into `temp` first. */
async function put(from, to, temp) {
  await mkdir(dirname(to), { recursive: true });
  if (existsSync(to)) await rename(to, join(temp, `old-${Date.now()}`));
  await rename(from, to);
}

/**
 * Builds the addon if it is not built yet, and checks in any case that it works.
 * @param {{ log?: (line: string) => void, wheel?: string, gpu?: boolean }} [options] `wheel`: the path of a TensorFlow
 *   wheel, so that none is downloaded; `gpu`: with the library that computes on NVIDIA's GPUs
 * @returns {Promise<{ built: boolean, addon: string, tensorflow: string }>}
 */
export async function buildNative({ log = console.log, wheel: givenWheel, gpu = false } = {}) {
  const manifest = locate(`${addonPackage}/package.json`);
  if (!manifest)
    throw new NativeError(
      `${addonPackage} is not installed. Install it with:\n  npm install --ignore-scripts ${addonPackage}@${addonVersion}\nand run this again.`,
    );
  const packageFolder = dirname(manifest);
  const { version } = JSON.parse(await readFile(manifest, 'utf8'));
  if (version !== addonVersion)
    throw new NativeError(
      `${addonPackage} is ${version}; this builds ${addonVersion}. Install that one with:\n  npm install --ignore-scripts ${addonPackage}@${addonVersion}`,
    );
  const wheel = wheelFor(platform(), arch(), gpu);
  if (!wheel)
    throw new NativeError(
      `no TensorFlow library${gpu ? ' for GPUs' : ''} is published for ${platform()} on ${arch()}. The wasm backend needs nothing${platform() === 'win32' ? '; or use Linux in WSL' : ''}.`,
    );
  if (platform() === 'linux' && !process.report.getReport().header.glibcVersionRuntime)
    throw new NativeError(
      'TensorFlow needs glibc (2.27 or newer), and this system has another C library. The wasm backend needs nothing.',
    );
  await sweep(packageFolder);

  const addon = createRequire(manifest)('@mapbox/node-pre-gyp').find(manifest);
  const operations = join(dirname(addon), operationsLibrary);
  const operationsStampPath = join(dirname(addon), operationsStamp);
  const deps = join(packageFolder, 'deps');
  const wheels = join(packageFolder, '.native-wheel');
  const hash = operationsHash();
  const haveOperations = await readFile(operationsStampPath, 'utf8').then(
    (text) => text.trim() === hash,
    () => false,
  );
  const stamp = await readFile(join(deps, stampName), 'utf8').then(JSON.parse, () => ({}));
  // A library for GPUs computes on a CPU too, so it is good enough for whoever does not ask for it.
  const haveKind = stamp.gpu === true || !gpu;
  let haveAddon = existsSync(addon);
  if (haveAddon && haveKind) {
    const state = await verify(packageFolder, haveOperations ? operations : undefined);
    if (state.ok && haveOperations) {
      await rm(wheels, { recursive: true, force: true });
      log(`native backend: already built, verified (TensorFlow ${state.version}, ${addon}).`);
      return { built: false, addon, tensorflow: state.version };
    }
    haveAddon = state.ok;
    if (!state.ok) log(`native backend: an addon is there, but it does not work (${state.reason}); building it anew.`);
  }

  const temp = join(packageFolder, `.native-${process.pid}.tmp`);
  const cleanUp = () => rmSync(temp, { recursive: true, force: true });
  const interrupted = (signal) => {
    cleanUp();
    process.kill(process.pid, signal);
  };
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  const timed = async (text, work) => {
    log(`native backend: ${text} ...`);
    const start = Date.now();
    const result = await work();
    log(`  done in ${((Date.now() - start) / 1000).toFixed(1)} s`);
    return result;
  };
  try {
    await mkdir(temp, { recursive: true });
    const haveDeps =
      haveKind && stamp.tensorflow === tensorflow && stamp.arch === arch() && stamp.unpacked === unpackVersion;
    const ready = existsSync(wheels)
      ? (await readdir(wheels)).find((name) => name.startsWith(`${wheel.name.replace('-', '_')}-`))
      : undefined;
    let file = givenWheel ? resolve(givenWheel) : ready && join(wheels, ready);
    const tools = await findTools({ needPython: !haveDeps, needPip: !haveDeps && (!file || gpu) });
    log(
      `native backend: ${[tools.compiler, tools.python].filter(Boolean).join(', ')}, Node ${process.versions.node}: everything needed is here.`,
    );

    if (!haveDeps) {
      if (file && !existsSync(file)) throw new NativeError(`--wheel ${file}: there is no such file.`);
      if (!file) {
        const downloads = join(temp, 'wheel');
        await timed(`downloading the wheel ${wheel.name} ${tensorflow} (about ${gpu ? 570 : 270} MB)`, async () => {
          await mkdir(downloads, { recursive: true });
          file = await download(tools.python, wheel, downloads, temp);
          await put(downloads, wheels, temp);
          file = join(wheels, file.slice(downloads.length + 1));
        });
      }
      let cuda = [];
      if (gpu) {
        const downloads = join(temp, 'cuda');
        await timed("downloading NVIDIA's libraries (about 2 GB)", async () => {
          await mkdir(downloads, { recursive: true });
          cuda = await downloadCuda(tools.python, file, downloads, temp);
        });
      }
      await timed('unpacking the C library and its headers (about 850 MB)', async () => {
        const half = join(temp, 'deps');
        const result = await run(tools.python, ['-c', unpack, half, file, ...cuda]);
        if (!result.ok) {
          await rm(wheels, { recursive: true, force: true });
          const todo = givenWheel ? 'Give another wheel.' : 'Run this again to download it anew.';
          throw new NativeError(`could not unpack ${file}: ${lastLines(result.output, 1)}\n${todo}`);
        }
        await writeFile(
          join(half, stampName),
          `${JSON.stringify({ tensorflow, arch: arch(), unpacked: unpackVersion, gpu })}\n`,
        );
        await put(half, deps, temp);
      });
      await rm(wheels, { recursive: true, force: true });
    }

    const headers = nodeHeaders();
    if (!haveAddon)
      await timed('compiling the addon', async () => {
        const built = join(temp, 'tfjs_binding.node');
        await compileAddon(tools.compiler, packageFolder, headers, built);
        await put(built, addon, temp);
      });
    await timed('compiling the operations for this processor', async () => {
      const built = join(temp, operationsLibrary);
      await compileOperations(tools.compiler, packageFolder, headers, built);
      await put(built, operations, temp);
      const stamped = join(temp, operationsStamp);
      await writeFile(stamped, `${hash}\n`);
      await put(stamped, operationsStampPath, temp);
    });

    const state = await timed('checking it with a matrix product', () => verify(packageFolder, operations));
    if (!state.ok) {
      // Without its stamp, the next run unpacks the library anew.
      await rm(join(deps, stampName), { force: true });
      throw new NativeError(`the addon was built, but it does not work: ${state.reason}`);
    }
    log(`native backend: ready (TensorFlow ${state.version}, ${addon}).`);
    return { built: true, addon, tensorflow: state.version };
  } finally {
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
    cleanUp();
  }
}

/** The folder of node_api.h, which comes with the package node-api-headers or with Node itself. */
function nodeHeaders() {
  const own = locate('node-api-headers/package.json');
  const places = [own && join(dirname(own), 'include'), join(dirname(process.execPath), '..', 'include', 'node')];
  const found = places.find((folder) => folder && existsSync(join(folder, 'node_api.h')));
  if (!found)
    throw new NativeError(
      'the headers of Node-API are not here. Install them with:\n  npm install --save-dev node-api-headers\nand run this again.',
    );
  return found;
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const options = { wheel: { type: 'string' }, gpu: { type: 'boolean' } };
  try {
    let values;
    try {
      ({ values } = parseArgs({ options }));
    } catch (error) {
      throw new NativeError(`${error.message}\nUsage: native [--gpu] [--wheel FILE]`);
    }
    await buildNative(values);
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    console.error(`native backend: ${error.message}`);
    process.exitCode = 1;
  }
}
