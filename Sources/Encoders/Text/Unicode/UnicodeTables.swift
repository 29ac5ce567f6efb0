import CEmbedded

/// The Unicode facts of the reference libraries, read once from the table in the program.
///
/// Tokens must not change with the Unicode version of a Swift toolchain, so nothing here asks the
/// standard library. `Tests/Generators/tokenizer_tables.py` asked the libraries themselves.
struct UnicodeTables: Sendable {
    static let shared = UnicodeTables()

    /// Words of 256 scalars a page; page 0 is of scalars about which nothing is known.
    private var pages = [UInt16](repeating: 0, count: 0x1100)
    private var words = [UInt32](repeating: 0, count: 256)

    private(set) var lowercase: [UInt32: UInt32] = [:]
    private(set) var lowercaseOfTokenizers: [UInt32: UInt32] = [:]
    /// One step of canonical decomposition; the second part is 0 for singletons.
    private(set) var decompositions: [UInt32: (UInt32, UInt32)] = [:]
    /// By `first << 32 | second`.
    private(set) var compositions: [UInt64: UInt32] = [:]
    /// Full- and half-width forms and what they stand for.
    private(set) var widths: [UInt32: [UInt32]] = [:]
    /// Numbers of HTML character references that stand for another scalar, or for none.
    private(set) var referenceReplacements: [UInt32: UInt32] = [:]
    private(set) var referenceRemovals: Set<UInt32> = []
    /// The upper halves (0x80…0xFF) of the code pages that ftfy tries, by name.
    private(set) var codePages: [String: [UInt32]] = [:]

    private init() {
        let table = EmbeddedTable(guidanced_unicode_tables())
        let flags: [(String, ScalarProperties)] = [
            ("transformers-letters", .transformersLetter),
            ("transformers-numbers", .transformersNumber),
            ("transformers-skipped", .transformersSkipped),
            ("open-clip-letters", .openCLIPLetter),
            ("open-clip-numbers", .openCLIPNumber),
            ("open-clip-skipped", .openCLIPSkipped),
            ("spaces", .space), ("word", .word), ("digits", .digit),
            ("cased", .cased), ("case-ignorable", .caseIgnorable),
            ("decompositions-unknown-to-tokenizers", .decompositionUnknownToTokenizers),
            ("combining-unknown-to-tokenizers", .combiningUnknownToTokenizers),
        ]
        for (section, flag) in flags {
            for item in table[section] { add(flag, from: item.first, through: item.last) }
        }
        readCases(table)
        readNormalization(table)
        for item in table["width"] { widths[item.first] = item.values.map { UInt32($0) } }
        for item in table["reference-replacements"] {
            referenceReplacements[item.first] = item.values.first.map { UInt32($0) }
        }
        for item in table["reference-removals"] {
            referenceRemovals.formUnion(item.first...item.last)
        }
        for section in table.sections.keys where section.hasPrefix("codec-") {
            codePages[String(section.dropFirst(6))] = table.scalars(section)
        }
    }

    private mutating func readCases(_ table: EmbeddedTable) {
        func mapping(_ section: String) -> [UInt32: UInt32] {
            var mapping: [UInt32: UInt32] = [:]
            for item in table[section] {
                for scalar in stride(from: item.first, through: item.last, by: Int(item.step)) {
                    mapping[scalar] = UInt32(Int(scalar) + (item.values.first ?? 0))
                }
            }
            return mapping
        }
        lowercase = mapping("lowercase")
        lowercaseOfTokenizers = mapping("lowercase-tokenizers")
        for scalar in lowercase.keys { add(.lowers, from: scalar, through: scalar) }
        for scalar in lowercaseOfTokenizers.keys {
            add(.lowersInTokenizers, from: scalar, through: scalar)
        }
        // The one scalar whose lower case is two: i and a dot above.
        add(.lowers, from: 0x130, through: 0x130)
    }

    private mutating func readNormalization(_ table: EmbeddedTable) {
        for item in table["combining"] {
            let value = ScalarProperties.combining(UInt32(item.values.first ?? 0))
            add(value, from: item.first, through: item.last)
        }
        for item in table["decompositions"] {
            guard let first = item.values.first else { continue }
            let second = item.values.count > 1 ? item.values[1] : 0
            decompositions[item.first] = (UInt32(first), UInt32(second))
            add(.decomposes, from: item.first, through: item.first)
            if second != 0, !item.isMarked {
                compositions[UInt64(first) << 32 | UInt64(second)] = item.first
                add(.composes, from: UInt32(second), through: UInt32(second))
            }
        }
        // The vowels and final consonants of Hangul compose by arithmetic.
        add(.composes, from: 0x1161, through: 0x1175)
        add(.composes, from: 0x11a8, through: 0x11c2)
    }

    private mutating func add(
        _ properties: ScalarProperties, from first: UInt32, through last: UInt32
    ) {
        for scalar in first...last {
            let page = Int(scalar >> 8)
            if pages[page] == 0 {
                pages[page] = UInt16(words.count >> 8)
                words.append(contentsOf: repeatElement(0, count: 256))
            }
            words[Int(pages[page]) << 8 | Int(scalar & 0xff)] |= properties.rawValue
        }
    }

    /// The facts of one scalar (below 0x110000).
    subscript(scalar: UInt32) -> ScalarProperties {
        ScalarProperties(
            rawValue: words[Int(pages[Int(scalar >> 8)]) << 8 | Int(scalar & 0xff)])
    }
}
