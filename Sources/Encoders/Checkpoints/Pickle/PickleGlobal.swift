/// What a name in a pickle stands for. There is nothing else that a pickle can name, and none of
/// these runs anything: each is a rule for building a value.
enum PickleGlobal: Sendable, Equatable {
    case dictionary
    /// A set or list: called with the sequence of its elements.
    case sequence
    /// Called with (storage, offset, shape, strides, …).
    case rebuildTensor
    /// Called with (value, …), and is that value.
    case firstArgument
    case storage(StoredType)
    /// A class whose objects are only their attributes.
    case attributes
    /// Training state beside the weights: named or called, it is nothing.
    case opaque

    /// The rule for a name; `nil` for one that is refused.
    static func named(_ module: String, _ name: String) -> PickleGlobal? {
        // TorchScript's own classes: they exist only inside the archive that names them.
        if module == "__torch__" || module.hasPrefix("__torch__.") { return .attributes }
        return table[module + "." + name]
    }

    private static let table: [String: PickleGlobal] = {
        var table: [String: PickleGlobal] = [
            "collections.OrderedDict": .dictionary,
            "torch._utils._rebuild_tensor": .rebuildTensor,
            "torch._utils._rebuild_tensor_v2": .rebuildTensor,
            "torch._utils._rebuild_parameter": .firstArgument,
            "torch._utils._rebuild_parameter_with_state": .firstArgument,
            // TorchScript's typed lists and annotated values.
            "torch.jit._pickle.restore_type_tag": .firstArgument,
            "torch.jit._pickle.build_intlist": .firstArgument,
            "torch.jit._pickle.build_doublelist": .firstArgument,
            "torch.jit._pickle.build_boollist": .firstArgument,
            "torch.jit._pickle.build_tensorlist": .firstArgument,
            // Early textual inversions hold one of these.
            "torch.nn.modules.container.ParameterDict": .attributes,
            // Lightning's checkpoints keep their callbacks' state under the callback's class, with
            // scores as numpy's numbers.
            "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint": .opaque,
            "_codecs.encode": .opaque,
            "torch.device": .opaque,
            "torch.Size": .firstArgument,
        ]
        for module in ["builtins", "__builtin__"] {
            for name in ["set", "frozenset", "list"] { table["\(module).\(name)"] = .sequence }
            table["\(module).dict"] = .dictionary
        }
        for module in ["numpy.core.multiarray", "numpy._core.multiarray"] {
            table["\(module).scalar"] = .opaque
        }
        table["numpy.dtype"] = .opaque
        let storages: [(String, StoredType)] = [
            ("Double", .f64), ("Float", .f32), ("Half", .f16), ("BFloat16", .bf16),
            ("Long", .i64), ("Int", .i32), ("Short", .i16), ("Char", .i8), ("Byte", .u8),
            ("Bool", .bool),
        ]
        for (name, type) in storages {
            table["torch.\(name)Storage"] = .storage(type)
            table["torch.cuda.\(name)Storage"] = .storage(type)
        }
        for name in ["float64", "float32", "float16", "bfloat16", "int64", "int32"] {
            table["torch.\(name)"] = .opaque
        }
        return table
    }()
}
