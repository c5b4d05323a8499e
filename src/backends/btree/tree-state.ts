/** The state of a tree between two commits: all that is needed to read it. */
export interface TreeState {
  /** Page number of the root; 0 for the empty tree, which has no pages. */
  readonly rootPage: number
  /** Levels, leaves included; 0 for the empty tree. */
  readonly height: number
  readonly entries: number
  /** Sequence number of the last commit in it. */
  readonly appliedSeq: number
}
