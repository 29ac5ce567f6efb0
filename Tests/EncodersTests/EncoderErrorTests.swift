import Encoders
import Testing

@Suite struct EncoderErrorTests {
    @Test func namesTheTensorAndWhatWasExpected() {
        let error = EncoderError.tensor(
            path: "model.safetensors", name: "logit_scale", expected: "shape []",
            actual: "shape [2]")
        #expect(
            error.description
                == "model.safetensors: tensor \"logit_scale\": expected shape [], found shape [2]")
    }
}
