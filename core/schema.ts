import * as z from 'zod';
import { GymError, nearest } from './errors.js';

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
  default?: unknown;
  description?: string;
  properties?: Record<string, JsonSchema>;
}

function typeOf(schema: JsonSchema): string {
  if (schema.enum) return schema.enum.join(' | ');
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(' | ');
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
  if (value === undefined) return 'nothing';
  if (typeof value === 'number') return String(value);
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
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
      return `must be ${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}`;
    case 'invalid_union':
      return `must be ${options.find((option) => option.path === issue.path.map(String).join('.'))?.type ?? 'another type'}`;
    default:
      return issue.message;
  }
}

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
  const describe = (issue: z.core.$ZodIssue): string[] => {
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => {
        const path = full([...issue.path, key]);
        const more = unknownKey?.(path);
        const none = `${path}: no such option${owner === undefined ? '' : ` ${owner}`}.`;
        if (more !== undefined) return `${none} ${more}`.trimEnd();
        const start = issue.path.map((p) => `${String(p)}.`).join('');
        const known = options
          .filter((option) => option.path.startsWith(start))
          .map((option) => option.path.slice(start.length).split('.')[0]!);
        const guess = nearest(key, known);
        return `${none}${guess ? ` Did you mean \`${guess}\`?` : ''}${known.length > 0 ? ` Known here: ${[...new Set(known)].join(', ')}.` : ''}`;
      });
    const value = at(input, issue.path);
    const guess =
      issue.code === 'invalid_value' && typeof value === 'string'
        ? nearest(value, issue.values.map(String))
        : undefined;
    return [
      `${full(issue.path) || '(the whole)'}: ${expectation(issue, options)}, actual value ${show(value)}.${guess ? ` Did you mean \`${guess}\`?` : ''}`,
    ];
  };
  return { problems: result.error.issues.flatMap(describe) };
}

/** The error that tells all problems of a configuration at once. */
export function configError(where: string, problems: readonly string[]): GymError {
  return new GymError(
    'E_CONFIG',
    problems.length === 1 ? `${where}: ${problems[0]}` : `${where}:\n${problems.map((p) => `  ${p}`).join('\n')}`,
  );
}
