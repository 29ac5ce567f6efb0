/// A pickle machine that builds values and runs nothing.
///
/// It knows the opcodes that Python's protocols 2 to 5 use for plain data (`pickletools.py`). A name
/// it knows is a rule of `PickleGlobal`; any other is refused before anything is done with it.
struct PickleReader {
    private var cursor: ByteCursor
    private(set) var heap = PickleHeap()
    private var stack: [PickleValue] = []
    /// How high the stack was at each mark.
    private var marks: [Int] = []
    private var memo: [Int: PickleValue] = [:]
    private var storages: [String: Int] = [:]

    init(_ cursor: ByteCursor) { self.cursor = cursor }

    /// Where the next byte after the last pickle is.
    var offset: Int { cursor.offset }

    /// Reads one pickle, to its end.
    ///
    /// - Throws: `EncoderError.unsupported` with the name of a global that is no plain data,
    ///   `.malformed` with the byte offset for everything else.
    mutating func read() throws(EncoderError) -> PickleValue {
        stack = []
        marks = []
        memo = [:]
        while true {
            let start = cursor.offset
            let code = try cursor.number(UInt8.self, "an opcode of a pickle")
            if code == UInt8(ascii: ".") {
                let value = try pop()
                guard stack.isEmpty, marks.isEmpty else {
                    throw cursor.fault(
                        "one value at the end of a pickle", "\(stack.count + 1)", at: start)
                }
                return value
            }
            if try readPlain(code) { continue }
            if try readContainer(code) { continue }
            guard try readReference(code) else {
                throw cursor.fault(
                    "an opcode of plain data", "byte \(code)", at: start)
            }
        }
    }

    // MARK: opcodes

    /// Numbers, text and bytes.
    private mutating func readPlain(_ code: UInt8) throws(EncoderError) -> Bool {
        switch code {
        case 0x80:  // PROTO
            let version = try cursor.number(UInt8.self, "a protocol version")
            guard (2...5).contains(version) else {
                throw cursor.fault("a pickle of protocol 2 to 5", "protocol \(version)")
            }
        case 0x95: _ = try cursor.take(8, "a frame's length")
        case UInt8(ascii: "N"): stack.append(.none)
        case 0x88: stack.append(.bool(true))
        case 0x89: stack.append(.bool(false))
        case UInt8(ascii: "K"): stack.append(.integer(try count(UInt8.self)))
        case UInt8(ascii: "M"): stack.append(.integer(try count(UInt16.self)))
        case UInt8(ascii: "J"):
            stack.append(.integer(Int(try cursor.number(Int32.self, "a number"))))
        case 0x8a: stack.append(try long(count(UInt8.self)))
        case 0x8b: stack.append(try long(count(UInt32.self)))
        case UInt8(ascii: "G"):
            stack.append(.number(try cursor.double("a number", bigEndian: true)))
        case 0x8c: stack.append(try text(count(UInt8.self)))
        case UInt8(ascii: "X"): stack.append(try text(count(UInt32.self)))
        case 0x8d: stack.append(try text(count(UInt64.self)))
        // Python 2's text.
        case UInt8(ascii: "U"): stack.append(try latin(count(UInt8.self)))
        case UInt8(ascii: "T"): stack.append(try latin(count(UInt32.self)))
        case UInt8(ascii: "C"): stack.append(.bytes(try bytes(count(UInt8.self))))
        case UInt8(ascii: "B"): stack.append(.bytes(try bytes(count(UInt32.self))))
        case 0x8e, 0x96: stack.append(.bytes(try bytes(count(UInt64.self))))
        default: return false
        }
        return true
    }

    /// Tuples, lists, sets and dictionaries.
    private mutating func readContainer(_ code: UInt8) throws(EncoderError) -> Bool {
        switch code {
        case UInt8(ascii: "("): marks.append(stack.count)
        case UInt8(ascii: ")"), UInt8(ascii: "]"), 0x8f: stack.append(heap.makeSequence([]))
        case UInt8(ascii: "}"): stack.append(heap.makeDictionary())
        case 0x85: try tuple(1)
        case 0x86: try tuple(2)
        case 0x87: try tuple(3)
        case UInt8(ascii: "t"), UInt8(ascii: "l"), 0x91:
            let values = try popMark()
            stack.append(heap.makeSequence(values))
        case UInt8(ascii: "d"):
            let values = try popMark()
            stack.append(heap.makeDictionary())
            try setItems(values)
        case UInt8(ascii: "a"): try append([pop()])
        case UInt8(ascii: "e"), 0x90: try append(popMark())
        case UInt8(ascii: "s"):
            let value = try pop()
            try setItems([pop(), value])
        case UInt8(ascii: "u"): try setItems(popMark())
        default: return false
        }
        return true
    }

    /// The memo, names, and what is built from names.
    private mutating func readReference(_ code: UInt8) throws(EncoderError) -> Bool {
        switch code {
        case UInt8(ascii: "0"): _ = try pop()
        case UInt8(ascii: "1"): _ = try popMark()
        case UInt8(ascii: "2"): stack.append(try top())
        case UInt8(ascii: "q"): memo[try count(UInt8.self)] = try top()
        case UInt8(ascii: "r"): memo[try count(UInt32.self)] = try top()
        case 0x94: memo[memo.count] = try top()
        case UInt8(ascii: "h"): try recall(count(UInt8.self))
        case UInt8(ascii: "j"): try recall(count(UInt32.self))
        case UInt8(ascii: "c"):
            let module = try cursor.line("a module's name")
            try global(module, cursor.line("a global's name"))
        case 0x93:
            guard case .text(let name) = try pop(), case .text(let module) = try pop() else {
                throw cursor.fault("a module and a name", "other values")
            }
            try global(module, name)
        case UInt8(ascii: "R"), 0x81:
            let arguments = try pop()
            stack.append(try call(pop(), arguments))
        case UInt8(ascii: "b"): try build(pop())
        case UInt8(ascii: "Q"): stack.append(try persistent(pop()))
        default: return false
        }
        return true
    }

    // MARK: values

    private mutating func count<Number: FixedWidthInteger & UnsignedInteger>(
        _ type: Number.Type
    ) throws(EncoderError) -> Int {
        try cursor.count(type, "a number in a pickle")
    }

    private mutating func text(_ count: Int) throws(EncoderError) -> PickleValue {
        .text(try cursor.text(count, "text in a pickle"))
    }

    private mutating func latin(_ count: Int) throws(EncoderError) -> PickleValue {
        let bytes = try bytes(count)
        guard bytes.allSatisfy({ $0 < 0x80 }) else { return .bytes(bytes) }
        return .text(String(decoding: bytes, as: UTF8.self))
    }

    private mutating func bytes(_ count: Int) throws(EncoderError) -> [UInt8] {
        let range = try cursor.take(count, "bytes in a pickle")
        return Array(cursor.bytes[range])
    }

    private mutating func long(_ count: Int) throws(EncoderError) -> PickleValue {
        let bytes = try bytes(count)
        guard count <= 8 else { return .longInteger(bytes) }
        var value: UInt64 = (bytes.last ?? 0) >= 0x80 ? .max : 0
        for byte in bytes.reversed() { value = value << 8 | UInt64(byte) }
        return .integer(Int(bitPattern: UInt(value)))
    }

    private mutating func tuple(_ count: Int) throws(EncoderError) {
        guard stack.count - (marks.last ?? 0) >= count else { throw underflow() }
        let values = Array(stack.suffix(count))
        stack.removeLast(count)
        stack.append(heap.makeSequence(values))
    }

    private mutating func append(_ values: [PickleValue]) throws(EncoderError) {
        switch try top() {
        case .sequence(let index): heap.sequences[index] += values
        case .opaque: break
        case let other: throw cursor.fault("a list to append to", other.kind)
        }
    }

    private mutating func setItems(_ values: [PickleValue]) throws(EncoderError) {
        guard values.count.isMultiple(of: 2) else {
            throw cursor.fault("keys and values in pairs", "\(values.count) values")
        }
        let target: Int
        switch try top() {
        case .dictionary(let index): target = index
        case .object(let index): target = heap.objects[index]
        case .opaque: return
        case let other: throw cursor.fault("a dictionary to fill", other.kind)
        }
        for index in stride(from: 0, to: values.count, by: 2) {
            heap.dictionaries[target].append((values[index], values[index + 1]))
        }
    }

    // MARK: stack and memo

    private func underflow() -> EncoderError {
        cursor.fault("a value on the pickle's stack", "none")
    }

    private func top() throws(EncoderError) -> PickleValue {
        guard stack.count > marks.last ?? 0, let value = stack.last else { throw underflow() }
        return value
    }

    private mutating func pop() throws(EncoderError) -> PickleValue {
        let value = try top()
        stack.removeLast()
        return value
    }

    private mutating func popMark() throws(EncoderError) -> [PickleValue] {
        guard let mark = marks.popLast() else {
            throw cursor.fault("a mark on the pickle's stack", "none")
        }
        let values = Array(stack[mark...])
        stack.removeLast(stack.count - mark)
        return values
    }

    private mutating func recall(_ key: Int) throws(EncoderError) {
        guard let value = memo[key] else {
            throw cursor.fault("a value remembered as \(key)", "none")
        }
        stack.append(value)
    }

    // MARK: names

    private mutating func global(_ module: String, _ name: String) throws(EncoderError) {
        let full = module + "." + name
        guard let rule = PickleGlobal.named(module, name) else {
            throw .unsupported(
                what: "\(cursor.path), pickle at byte \(cursor.offset)",
                expected: "tensors and containers, and nothing that runs",
                actual: "the global \"\(full.prefix(200))\"")
        }
        stack.append(.global(rule, name: full))
    }

    private mutating func call(
        _ function: PickleValue, _ arguments: PickleValue
    ) throws(EncoderError) -> PickleValue {
        guard case .global(let rule, let name) = function else {
            throw cursor.fault("a global to build a value of", function.kind)
        }
        guard let values = heap.sequence(arguments) else {
            throw cursor.fault("arguments for \(name)", arguments.kind)
        }
        switch rule {
        case .dictionary:
            var members: PickleHeap.Members = []
            for pair in values.first.flatMap({ heap.sequence($0) }) ?? [] {
                guard let pair = heap.sequence(pair), pair.count == 2 else {
                    throw cursor.fault("pairs for \(name)", "another value")
                }
                members.append((pair[0], pair[1]))
            }
            return heap.makeDictionary(members)
        case .sequence:
            return heap.makeSequence(values.first.flatMap { heap.sequence($0) } ?? [])
        case .firstArgument:
            guard let first = values.first else {
                throw cursor.fault("an argument for \(name)", "none")
            }
            return first
        case .attributes: return heap.makeObject()
        case .opaque: return .opaque
        case .rebuildTensor: return try tensor(values, name)
        case .storage:
            throw cursor.fault("a storage by its key", "a call of \(name)")
        }
    }

    private mutating func build(_ state: PickleValue) throws(EncoderError) {
        switch try top() {
        case .object(let index):
            // With slots the state is a pair of dictionaries.
            for part in heap.sequence(state) ?? [state] {
                guard part != .none else { continue }
                guard let members = heap.members(part) else {
                    throw cursor.fault("attributes of an object", part.kind)
                }
                heap.dictionaries[heap.objects[index]] += members
            }
        // Attributes of a plain container (a state dictionary's `_metadata`) mean nothing here.
        case .dictionary, .sequence, .tensor, .opaque: break
        case let other: throw cursor.fault("an object to set attributes of", other.kind)
        }
    }

    // MARK: tensors

    private mutating func persistent(_ value: PickleValue) throws(EncoderError) -> PickleValue {
        // ("storage", type, key, place, number of elements), and in files from before torch 1.6 a
        // view's metadata, which nothing has written since 0.4.
        guard let parts = heap.sequence(value), parts.count == 5 || parts.count == 6,
            parts[0] == .text("storage"), case .global(.storage(let type), _) = parts[1],
            case .text(let key) = parts[2], case .integer(let count) = parts[4], count >= 0
        else {
            throw cursor.fault("a storage's type, key and length", value.kind)
        }
        if parts.count == 6, parts[5] != .none {
            throw .unsupported(
                what: "\(cursor.path), storage \"\(key)\"", expected: "a whole storage",
                actual: "a view of another one")
        }
        let storage = PickleHeap.Storage(key: key, type: type, count: count)
        if let known = storages[key] {
            guard heap.storages[known] == storage else {
                throw cursor.fault(
                    "storage \"\(key)\" with \(heap.storages[known].count) elements of "
                        + heap.storages[known].type.rawValue,
                    "\(count) of \(type.rawValue)")
            }
            return .storage(known)
        }
        heap.storages.append(storage)
        storages[key] = heap.storages.count - 1
        return .storage(heap.storages.count - 1)
    }

    private mutating func tensor(
        _ values: [PickleValue], _ name: String
    ) throws(EncoderError) -> PickleValue {
        guard values.count >= 4, case .storage(let storage) = values[0],
            case .integer(let offset) = values[1], offset >= 0, let shape = heap.sizes(values[2]),
            let strides = heap.sizes(values[3]), shape.count == strides.count, shape.count <= 16
        else {
            throw cursor.fault(
                "a storage, an offset, a shape and as many strides for \(name)", "other values")
        }
        heap.tensors.append(
            PickleHeap.Tensor(storage: storage, offset: offset, shape: shape, strides: strides))
        return .tensor(heap.tensors.count - 1)
    }
}
