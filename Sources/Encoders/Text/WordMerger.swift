/// Applies merges to the symbols of one word after another; keeps its arrays between words.
struct WordMerger {
    /// In which order merges of one rank and those that they make possible are applied.
    enum Order {
        /// tokenizers: always the lowest rank of all, leftmost first.
        case lowestFirst
        /// open_clip: every occurrence of the lowest pair, left to right, then look again.
        case passByPass
    }

    let table: MergeTable
    let order: Order

    /// Up to this many symbols the ranks of a word are scanned; longer words use a heap.
    private static let scanLimit = 48

    /// The word in UTF-8.
    private var bytes: [UInt8] = []
    private var ids: [Int32] = []
    /// Bytes of the text that each symbol stands for.
    private var lengths: [Int32] = []
    /// Rank of the pair that each symbol begins.
    private var ranks: [UInt32] = []

    private var next: [Int32] = []
    private var previous: [Int32] = []
    /// Pairs by rank and position, the lowest on top.
    private var heap: [UInt64] = []
    private var deferred: [UInt64] = []

    init(table: MergeTable, order: Order) {
        self.table = table
        self.order = order
    }

    /// Takes the symbols of a word: a token for each byte of its UTF-8, another for the last.
    mutating func takeWord(_ word: ArraySlice<UInt32>, of vocabulary: Vocabulary) {
        bytes.removeAll(keepingCapacity: true)
        for scalar in word { bytes.appendUTF8(scalar) }
        guard let last = bytes.popLast() else { return }
        for byte in bytes { append(vocabulary.symbols[Int(byte)]) }
        append(vocabulary.finalSymbols[Int(last)])
    }

    /// Takes the next symbol of the word: a token for one byte of the text.
    mutating func append(_ symbol: Int32) {
        ids.append(symbol)
        lengths.append(1)
    }

    /// Merges the symbols of the word and appends the resulting tokens and their lengths; then the
    /// next word begins.
    mutating func finishWord(
        into tokens: inout [Int32], lengths tokenLengths: inout [Int32]
    ) {
        defer {
            ids.removeAll(keepingCapacity: true)
            lengths.removeAll(keepingCapacity: true)
        }
        if ids.count <= Self.scanLimit {
            mergeByScanning()
            for index in ids.indices {
                tokens.append(ids[index])
                tokenLengths.append(lengths[index])
            }
        } else {
            mergeByHeap()
            var index: Int32 = 0
            while index >= 0 {
                tokens.append(ids[Int(index)])
                tokenLengths.append(lengths[Int(index)])
                index = next[Int(index)]
            }
        }
    }

    private mutating func rankPairs() {
        ranks.removeAll(keepingCapacity: true)
        for index in ids.indices.dropLast() {
            ranks.append(table[ids[index], ids[index + 1]].rank)
        }
        ranks.append(MergeTable.none)
    }

    // MARK: short words

    private mutating func mergeByScanning() {
        guard ids.count > 1 else { return }
        rankPairs()
        while let lowest = ranks.min(), lowest != MergeTable.none {
            var index = 0
            while index < ranks.count {
                if ranks[index] == lowest {
                    join(index)
                    if order == .lowestFirst { break }
                }
                index += 1
            }
        }
    }

    private mutating func join(_ index: Int) {
        ids[index] = table[ids[index], ids[index + 1]].token
        lengths[index] += lengths[index + 1]
        ids.remove(at: index + 1)
        lengths.remove(at: index + 1)
        ranks.remove(at: index + 1)
        ranks[index] =
            index + 1 < ids.count ? table[ids[index], ids[index + 1]].rank : MergeTable.none
        if index > 0 { ranks[index - 1] = table[ids[index - 1], ids[index]].rank }
    }

    // MARK: long words

    private mutating func mergeByHeap() {
        rankPairs()
        let count = Int32(ids.count)
        next = (0..<count).map { $0 + 1 < count ? $0 + 1 : -1 }
        previous = (0..<count).map { $0 - 1 }
        heap.removeAll(keepingCapacity: true)
        for (index, rank) in ranks.enumerated() where rank != MergeTable.none {
            heap.append(UInt64(rank) << 32 | UInt64(index))
        }
        for index in stride(from: heap.count / 2 - 1, through: 0, by: -1) { siftDown(index) }
        while let top = heap.first {
            let rank = top >> 32
            repeat { mergeTop() } while heap.first.map { $0 >> 32 } == rank
            for pair in deferred { push(pair) }
            deferred.removeAll(keepingCapacity: true)
        }
    }

    private mutating func mergeTop() {
        let top = pop()
        let left = Int(top & 0xffff_ffff)
        // Pairs that changed since they were pushed have another rank now, or none.
        guard ranks[left] == UInt32(top >> 32) else { return }
        let right = Int(next[left])
        ids[left] = table[ids[left], ids[right]].token
        lengths[left] += lengths[right]
        ranks[right] = MergeTable.none
        next[left] = next[right]
        if next[right] >= 0 { previous[Int(next[right])] = Int32(left) }
        updateRank(left)
        if previous[left] >= 0 { updateRank(Int(previous[left])) }
    }

    private mutating func updateRank(_ left: Int) {
        guard next[left] >= 0 else {
            ranks[left] = MergeTable.none
            return
        }
        ranks[left] = table[ids[left], ids[Int(next[left])]].rank
        guard ranks[left] != MergeTable.none else { return }
        let pair = UInt64(ranks[left]) << 32 | UInt64(left)
        switch order {
        case .lowestFirst: push(pair)
        case .passByPass: deferred.append(pair)
        }
    }

    private mutating func push(_ pair: UInt64) {
        heap.append(pair)
        var index = heap.count - 1
        while index > 0, heap[(index - 1) / 2] > heap[index] {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    private mutating func pop() -> UInt64 {
        let top = heap[0]
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            siftDown(0)
        }
        return top
    }

    private mutating func siftDown(_ start: Int) {
        var index = start
        while true {
            var child = 2 * index + 1
            guard child < heap.count else { return }
            if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < heap[index] else { return }
            heap.swapAt(index, child)
            index = child
        }
    }
}
