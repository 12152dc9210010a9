import packageJson from '../package.json' with { type: 'json' }

/** The version of this Kith, from package.json. */
export const VERSION: string = packageJson.version
