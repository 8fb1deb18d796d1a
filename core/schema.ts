import * as z from 'zod';
import { GymError, nearest } from './errors.js';
import { shownJson, shownName } from './shown.js';

/** One option, as a schema describes it, for `--help` and lists. */
export interface OptionInfo {
  /** Dotted, as in a file: `sampling.steps`. */
  readonly path: string;
  /** What it takes, for people: `number`, `ddim | ddpm`. */
  readonly type: string;
  readonly default?: unknown;
  readonly description: string;
}

interface JsonSchema {
  type?: string;
  enum?: unknown[];
  anyOf?: JsonSchema[];
  items?: JsonSchema;
  prefixItems?: JsonSchema[];
  default?: unknown;
  description?: string;
  properties?: Record<string, JsonSchema>;
}

function typeOf(schema: JsonSchema): string {
  if (schema.enum) return schema.enum.join(' | ');
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(' | ');
  if (schema.prefixItems) return `[${schema.prefixItems.map(typeOf).join(', ')}]`;
  if (schema.type === 'array') return `[${schema.items ? typeOf(schema.items) : ''}]`;
  if (schema.type === 'object' && schema.properties) return `{${Object.keys(schema.properties).join(', ')}}`;
  return schema.type ?? 'value';
}

/**
 * Every option of an object schema, nested ones too, with what it takes, its default and its description.
 * @param defaults values by the option's name that take the place of those of the schema.
 */
export function optionsOf(schema: z.ZodType, defaults: Readonly<Record<string, unknown>> = {}): OptionInfo[] {
  const options: OptionInfo[] = [];
  const visit = (json: JsonSchema, path: string) => {
    for (const [key, property] of Object.entries(json.properties ?? {})) {
      const at = path === '' ? key : `${path}.${key}`;
      if (property.properties) visit(property, at);
      else {
        const value = Object.hasOwn(defaults, at) ? defaults[at] : property.default;
        options.push({
          path: at,
          type: typeOf(property),
          ...(value !== undefined && { default: value }),
          description: property.description ?? '',
        });
      }
    }
  };
  visit(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema, '');
  return options;
}

/** A value as it stands in messages, cut where it is long. */
export function show(value: unknown): string {
  return value === undefined ? 'nothing' : shownJson(value);
}

function at(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const key of path) value = (value as Record<PropertyKey, unknown> | null | undefined)?.[key];
  return value;
}

function expectation(issue: z.core.$ZodIssue, options: readonly OptionInfo[]): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${issue.expected === 'int' ? 'a whole number' : /^[aeiou]/.test(issue.expected) ? `an ${issue.expected}` : `a ${issue.expected}`}`;
    case 'invalid_value':
      return `must be one of ${issue.values.map(String).join(', ')}`;
    case 'too_small':
      return issue.origin === 'array' || issue.origin === 'string'
        ? 'must not be empty'
        : `must be ${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}`;
    case 'too_big':
      if (issue.origin === 'array') return `must have at most ${issue.maximum} entries`;
      if (issue.origin === 'string') return `must have at most ${issue.maximum} characters`;
      return `must be ${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}`;
    case 'invalid_union':
      // Of a union that a field decides, the issue has what that field may be.
      if ('options' in issue && Array.isArray(issue.options)) return `must be one of ${issue.options.join(', ')}`;
      return `must be ${options.find((option) => option.path === issue.path.map(String).join('.'))?.type ?? 'another type'}`;
    default:
      return issue.message;
  }
}

/** A file that is none of ours may have thousands of unknown keys; nobody reads more lines than this. */
const mostProblems = 20;

export interface ParseOptions {
  /** Stands before every option's path in messages: `agent`. */
  readonly prefix?: string;
  /** Whose options they are, for the message of one that there is not: 'of the agent `ppo`'. */
  readonly owner?: string;
  /** Says more about a key that the schema lacks, instead of the names that it knows; '' for nothing more. */
  readonly unknownKey?: (path: string) => string | undefined;
}

/**
 * Checks a value against a strict object schema.
 * @returns the value with the schema's defaults, or one line for each wrong field: its path, what is allowed, the actual
 * value and, for a typing mistake, the nearest name.
 */
export function parseSchema<S extends z.ZodType>(
  schema: S,
  input: unknown,
  { prefix = '', owner, unknownKey }: ParseOptions = {},
): { readonly value: z.output<S>; readonly problems: [] } | { readonly value?: never; readonly problems: string[] } {
  const result = schema.safeParse(input);
  if (result.success) return { value: result.data, problems: [] };
  const options = optionsOf(schema);
  const full = (path: readonly PropertyKey[]) => [...(prefix === '' ? [] : [prefix]), ...path].map(String).join('.');
  const unknown = (at: readonly PropertyKey[], key: string): string => {
    const path = full([...at, shownName(key)]);
    const more = unknownKey?.(full([...at, key]));
    const none = `${path}: no such option${owner === undefined ? '' : ` ${owner}`}.`;
    if (more !== undefined) return `${none} ${more}`.trimEnd();
    const start = at.map((p) => `${String(p)}.`).join('');
    const known = options
      .filter((option) => option.path.startsWith(start))
      .map((option) => option.path.slice(start.length).split('.')[0]!);
    const guess = nearest(key, known);
    return `${none}${guess ? ` Did you mean \`${guess}\`?` : ''}${known.length > 0 ? ` Known here: ${[...new Set(known)].join(', ')}.` : ''}`;
  };
  const wrong = (issue: z.core.$ZodIssue): string => {
    const value = at(input, issue.path);
    const guess =
      issue.code === 'invalid_value' && typeof value === 'string'
        ? nearest(value, issue.values.map(String))
        : undefined;
    return `${full(issue.path) || '(the whole)'}: ${expectation(issue, options)}, actual value ${show(value)}.${guess ? ` Did you mean \`${guess}\`?` : ''}`;
  };
  const problems = result.error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys' ? issue.keys.map((key) => () => unknown(issue.path, key)) : [() => wrong(issue)],
  );
  const told = problems.slice(0, mostProblems).map((tell) => tell());
  if (problems.length > told.length) told.push(`... and ${problems.length - told.length} more.`);
  return { problems: told };
}

/** The error that tells all problems of a configuration at once. */
export function configError(where: string, problems: readonly string[]): GymError {
  return new GymError(
    'E_CONFIG',
    problems.length === 1 ? `${where}: ${problems[0]}` : `${where}:\n${problems.map((p) => `  ${p}`).join('\n')}`,
  );
}

/**
 * What a file holds, checked against a schema.
 * @param where the file, which errors name.
 * @throws GymError E_FILE that lists what is wrong with it.
 */
export function checkedFile<S extends z.ZodType>(schema: S, input: unknown, where: string): z.output<S> {
  const { value, problems } = parseSchema(schema, input);
  if (problems.length > 0)
    throw new GymError('E_FILE', `${where}: ${problems.join(' ')} The file is damaged: restore it from its source.`);
  return value as z.output<S>;
}
