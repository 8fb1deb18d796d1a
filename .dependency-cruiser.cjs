// Which room may import which others (see CONTRIBUTING.md, "Where things are"). Every room may import core and itself.
const may = {
  core: [],
  backend: [],
  networks: ['backend'],
  diffusion: ['backend', 'networks'],
  envs: ['networks'],
  rewards: ['networks'],
  agents: ['backend', 'envs', 'diffusion'],
  training: ['backend', 'envs', 'diffusion', 'agents', 'rewards'],
  testing: ['agents', 'envs', 'rewards'],
  cli: ['backend', 'envs', 'agents', 'rewards', 'training'],
};

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    ...Object.entries(may).map(([room, allowed]) => ({
      name: `from-${room}`,
      comment: `${room}/ may import only: ${['core', ...allowed].join(', ')}.`,
      severity: 'error',
      from: { path: `^${room}/` },
      to: { path: `^(${Object.keys(may).join('|')})/`, pathNot: `^(${[room, 'core', ...allowed].join('|')})/` },
    })),
    {
      name: 'envs-without-tensorflow',
      comment:
        "Importing 'denoise-gym/envs' is light: only the two families that learn use TensorFlow.js and networks/, and the registry loads these families by import().",
      severity: 'error',
      from: { path: '^envs/', pathNot: '^envs/(adaptation|federated)/' },
      to: { path: ['^networks/', '@tensorflow'] },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'default'],
      extensions: ['.ts', '.js'],
    },
    doNotFollow: { path: 'node_modules' },
  },
};
