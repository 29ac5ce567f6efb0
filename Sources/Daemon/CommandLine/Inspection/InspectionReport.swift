package import Encoders
package import JSON

/// What `guidanced models inspect` prints.
package struct InspectionReport: Sendable {
    /// The report as a JSON document; keys as in `docs/command-line.md`.
    package let json: JSONValue
    /// The report for people.
    package let text: String

    /// - Throws: `EncoderError` when a tokenizer's or preprocessor's files are damaged.
    package init(_ file: WeightsFile) throws {
        switch file {
        case .encoders(let contents): self = try Self.encoders(contents)
        case .lora(let file): self.init(file)
        case .textualInversion(let inversion): self.init(inversion)
        }
    }

    private init(json: JSONObject, text: String) {
        self.json = .object(json)
        self.text = text
    }

    // MARK: encoders

    private static func encoders(_ contents: CheckpointContents) throws -> InspectionReport {
        let uses = contents.uses.map(\.rawValue)
        var text = "\(Table.printable(contents.path))\n"
        var facts = [
            ("form", contents.format.rawValue),
            ("container", contents.towers.first?.container.rawValue ?? ""),
        ]
        if let pipeline = contents.pipeline { facts.append(("pipeline", pipeline)) }
        facts.append(("can be used for", uses.isEmpty ? "nothing" : uses.joined(separator: ", ")))
        if !contents.ignored.isEmpty {
            facts.append(("ignored", contents.ignored.joined(separator: ", ")))
        }
        text += VerificationReport.facts(facts)
        var towers: [JSONValue] = []
        for tower in contents.towers {
            let facts = try TowerFacts(tower)
            towers.append(facts.json)
            text += "\n" + facts.text
        }
        return InspectionReport(
            json: [
                "path": .string(contents.path), "kind": "encoders",
                "format": .string(contents.format.rawValue),
                "container": .string(contents.towers.first?.container.rawValue ?? ""),
                "pipeline": contents.pipeline.map { .string($0) } ?? .null,
                "uses": .array(uses.map { .string($0) }),
                "ignored": .array(contents.ignored.map { .string($0) }), "towers": .array(towers),
            ], text: text)
    }

    // MARK: adapters

    private init(_ file: LoRAFile) {
        var encoders = [("text_encoder", file.first), ("text_encoder_2", file.second)]
        if file.unnamed != nil { encoders = [("any encoder of its width", file.unnamed)] }
        var facts = [("form", "LoRA")]
        var list: [JSONValue] = []
        for (name, lora) in encoders {
            guard let lora else {
                facts.append((name, "unchanged"))
                continue
            }
            let ranks = Set(lora.updates.values.compactMap(\.rank)).sorted()
            facts.append(
                (
                    name,
                    "\(lora.updates.count) matrices"
                        + (ranks.isEmpty
                            ? "" : ", rank " + ranks.map(String.init).joined(separator: ", "))
                        + (lora.vectors.isEmpty ? "" : ", \(lora.vectors.count) vectors")
                        + (lora.isDoRA ? ", DoRA" : "")
                ))
            list.append([
                "encoder": .string(name), "matrices": .integer(lora.updates.count),
                "vectors": .integer(lora.vectors.count),
                "ranks": .array(ranks.map { .integer($0) }), "dora": .bool(lora.isDoRA),
            ])
        }
        for other in file.others { facts.append((other.part, "\(other.tensors) tensors")) }
        if !file.embeddings.isEmpty {
            facts.append(
                (
                    "embeddings",
                    file.embeddings.map { Table.printable($0.name) }.joined(separator: ", ")
                ))
        }
        for note in file.notes { facts.append(("note", Table.printable(note))) }
        self.init(
            json: [
                "path": .string(file.path), "kind": "lora", "encoders": .array(list),
                "other_tensors": .integer(file.otherTensors),
                "others": .object(
                    JSONObject(file.others.map { ($0.part, .integer($0.tensors)) })),
                "embeddings": .array(file.embeddings.map { .string($0.name) }),
                "notes": .array(file.notes.map { .string($0) }),
            ], text: "\(Table.printable(file.path))\n" + VerificationReport.facts(facts))
    }

    private init(_ inversion: TextualInversion) {
        var facts = [
            ("form", "textual inversion"), ("name", Table.printable(inversion.name ?? "none")),
        ]
        for vectors in inversion.vectors {
            facts.append(
                (
                    vectors.role?.rawValue ?? "any encoder",
                    "\(vectors.count) × \(vectors.width)"
                ))
        }
        self.init(
            json: [
                "path": .string(inversion.path), "kind": "textual-inversion",
                "name": inversion.name.map { .string($0) } ?? .null,
                "vectors": .array(
                    inversion.vectors.map {
                        [
                            "encoder": $0.role.map { .string($0.rawValue) } ?? .null,
                            "tokens": .integer($0.count), "width": .integer($0.width),
                        ]
                    }),
            ], text: "\(Table.printable(inversion.path))\n" + VerificationReport.facts(facts))
    }
}
