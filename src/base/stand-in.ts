/**
 * Marks the class that programs put in the place of `classic-level`, so that it is never taken for
 * LevelDB itself. Registered, because a program may have several copies of this package.
 */
export const standInMark = Symbol.for('kintsugi-db.stands-in-for-classic-level')
