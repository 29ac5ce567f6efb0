/// What a pickle builds: plain values, and indexes into a `PickleHeap` for everything that holds
/// other values.
///
/// Because containers are indexes, a pickle can neither make a structure so deep that freeing it
/// overflows the stack nor one that is larger than itself.
enum PickleValue: Sendable, Equatable {
    case none
    case bool(Bool)
    case integer(Int)
    /// An integer of more than 64 bits: little-endian two's complement.
    case longInteger([UInt8])
    case number(Double)
    case text(String)
    case bytes([UInt8])
    /// Tuples, lists and sets.
    case sequence(Int)
    case dictionary(Int)
    /// An object of a class that is not ours to make: its attributes only.
    case object(Int)
    case global(PickleGlobal, name: String)
    case storage(Int)
    case tensor(Int)
    /// Something harmless that nobody needs.
    case opaque

    /// What kind of value this is, for messages.
    var kind: String {
        switch self {
        case .none: "None"
        case .bool: "a boolean"
        case .integer, .longInteger, .number: "a number"
        case .text: "text"
        case .bytes: "bytes"
        case .sequence: "a sequence"
        case .dictionary: "a dictionary"
        case .object: "an object"
        case .global(_, let name): "the global \"\(name)\""
        case .storage: "a storage"
        case .tensor: "a tensor"
        case .opaque: "an unused value"
        }
    }
}

/// Everything that a pickle built, held flat.
struct PickleHeap: Sendable {
    /// The numbers behind one or more tensors.
    struct Storage: Sendable, Equatable {
        let key: String
        let type: StoredType
        /// In elements.
        let count: Int
    }

    /// A strided view of a storage; all in elements.
    struct Tensor: Sendable, Equatable {
        let storage: Int
        let offset: Int
        let shape: [Int]
        let strides: [Int]
    }

    /// Members in the order in which they came; a later one of the same key wins.
    typealias Members = [(key: PickleValue, value: PickleValue)]

    var sequences: [[PickleValue]] = []
    var dictionaries: [Members] = []
    /// Attributes, each as an index of a dictionary.
    var objects: [Int] = []
    var storages: [Storage] = []
    var tensors: [Tensor] = []

    mutating func makeSequence(_ values: [PickleValue]) -> PickleValue {
        sequences.append(values)
        return .sequence(sequences.count - 1)
    }

    mutating func makeDictionary(_ members: Members = []) -> PickleValue {
        dictionaries.append(members)
        return .dictionary(dictionaries.count - 1)
    }

    mutating func makeObject() -> PickleValue {
        dictionaries.append([])
        objects.append(dictionaries.count - 1)
        return .object(objects.count - 1)
    }

    /// The elements of a tuple, list or set; `nil` for any other value.
    func sequence(_ value: PickleValue) -> [PickleValue]? {
        if case .sequence(let index) = value { sequences[index] } else { nil }
    }

    /// The members of a dictionary or the attributes of an object; `nil` for any other value.
    func members(_ value: PickleValue) -> Members? {
        switch value {
        case .dictionary(let index): dictionaries[index]
        case .object(let index): dictionaries[objects[index]]
        default: nil
        }
    }

    /// The member of this name; `nil` when there is none.
    func member(_ name: String, of value: PickleValue) -> PickleValue? {
        members(value)?.last { $0.key == .text(name) }?.value
    }

    /// Whole numbers that are not negative, as sizes and strides are; `nil` for anything else.
    func sizes(_ value: PickleValue) -> [Int]? {
        guard let values = sequence(value) else { return nil }
        var sizes: [Int] = []
        for value in values {
            guard case .integer(let size) = value, size >= 0 else { return nil }
            sizes.append(size)
        }
        return sizes
    }
}
