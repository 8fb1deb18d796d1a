import { register } from '../../envs/index.js';
import { Counter } from './counter.js';

register({ id: 'ModuleCounter-v0', description: 'counts', create: () => new Counter(2) });
