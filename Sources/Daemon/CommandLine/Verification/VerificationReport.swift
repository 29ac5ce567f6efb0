package import Encoders
package import JSON

/// One measured property of a model.
package struct VerificationCheck: Equatable, Sendable {
    package let name: String
    package let value: Double
    /// The largest value that passes.
    package let limit: Double
    /// What the value is.
    package let meaning: String

    package init(name: String, value: Double, limit: Double, meaning: String) {
        self.name = name
        self.value = value
        self.limit = limit
        self.meaning = meaning
    }

    package init(_ check: ModelSelfCheck.Check) {
        self.init(
            name: check.name, value: check.value, limit: check.limit, meaning: check.meaning)
    }

    /// Not a number never passes.
    package var passed: Bool { value <= limit }
}

/// What `guidanced verify` prints.
package struct VerificationReport: Sendable {
    package let report: CheckpointReport
    package let checks: [VerificationCheck]

    package init(report: CheckpointReport, checks: [VerificationCheck]) {
        self.report = report
        self.checks = checks
    }

    package func json(tensors: Bool) -> JSONValue {
        var document = report.json(tensors: tensors)
        document["checks"] = .array(
            checks.map { check in
                [
                    "name": .string(check.name), "passed": .bool(check.passed),
                    "value": .number(check.value), "limit": .number(check.limit),
                    "meaning": .string(check.meaning),
                ]
            })
        document["passed"] = .bool(checks.allSatisfy(\.passed))
        return .object(document)
    }

    package func text(tensors: Bool) -> String {
        let storage = report.storage.map {
            "\($0.type.rawValue) \(VerificationReport.grouped($0.parameters))"
        }
        var text = "\(Table.printable(report.path))\n"
        text += VerificationReport.facts([
            ("layout", report.layout.rawValue),
            ("fingerprint", report.fingerprint),
            ("parameters", VerificationReport.grouped(report.parameters)),
            ("stored as", storage.joined(separator: ", ")),
            ("logit scale", Numbers.fixed(report.logitScale, 4)),
            ("tokenizer", report.tokenizer ?? "none"),
            ("preprocessing", report.preprocessing ?? "none"),
            ("image profile", report.imageProfile?.rawValue ?? "none"),
        ])
        for tower in report.towers {
            let name = tower.name == "image" ? "image tower (vision)" : "\(tower.name) tower"
            text += "\n\(name): \(VerificationReport.grouped(tower.parameters)) parameters in "
            text += "\(tower.tensors.count) tensors\n"
            text += VerificationReport.facts(
                tower.sizes.map { ($0.name, VerificationReport.constant($0.value)) })
            if tensors { text += "\n" + VerificationReport.table(of: tower).text() }
        }
        text += "\nchecks\n" + table.text()
        let failed = checks.count { !$0.passed }
        text += failed == 0 ? "\nall \(checks.count) checks passed\n" : "\n\(failed) failed\n"
        return text
    }

    private var table: Table {
        var table = Table([
            Table.Column("result"), Table.Column("check"), Table.Column("value", .right),
            Table.Column("at most", .right), Table.Column("what is measured"),
        ])
        for check in checks {
            table.append([
                check.passed ? "pass" : "FAIL", check.name,
                VerificationReport.short(check.value), VerificationReport.limit(check.limit),
                check.meaning,
            ])
        }
        return table
    }

    private static func table(of tower: CheckpointReport.Tower) -> Table {
        var table = Table([
            Table.Column("tensor"), Table.Column("type"), Table.Column("shape"),
            Table.Column("xxh3-128"),
        ])
        for tensor in tower.tensors {
            table.append([
                tensor.name, tensor.type.rawValue,
                tensor.shape.map(String.init).joined(separator: "×"), tensor.digest,
            ])
        }
        return table
    }

    /// Names and values below each other, indented.
    static func facts(_ facts: [(name: String, value: String)]) -> String {
        let width = facts.map(\.name.count).max() ?? 0
        return facts.map { name, value in
            "  \(name)\(String(repeating: " ", count: width - name.count + 2))"
                + "\(Table.printable(value))\n"
        }.joined()
    }

    /// `1,234,567`.
    package static func grouped(_ number: Int) -> String {
        let digits = String(number.magnitude)
        var text = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += "," }
            text.append(digit)
        }
        return number < 0 ? "-" + text : text
    }

    /// A size or constant; those that were fp32 in the model are shown in fp32's digits.
    package static func constant(_ text: String) -> String {
        guard text.contains("."), let value = Float(text) else { return text }
        return value.description
    }

    /// A limit, with all its digits.
    package static func limit(_ value: Double) -> String {
        value == value.rounded() && value.magnitude < 1e6 ? String(Int(value)) : "\(value)"
    }

    /// A measured value, with as many digits as matter.
    package static func short(_ value: Double) -> String {
        guard value.isFinite else { return "\(value)" }
        if value == value.rounded(), value.magnitude < 1e6 { return String(Int(value)) }
        if (0.001..<1000).contains(value.magnitude) { return Numbers.fixed(value, 4) }
        var mantissa = value
        var exponent = 0
        while mantissa.magnitude >= 10 {
            mantissa /= 10
            exponent += 1
        }
        while mantissa.magnitude < 1 {
            mantissa *= 10
            exponent -= 1
        }
        return "\(Numbers.fixed(mantissa, 1))e\(exponent)"
    }
}
