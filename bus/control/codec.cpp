#include "bus/control/codec.hpp"

#include <memory>
#include <string>

namespace millrace::control {

static_assert(static_cast<int>(ErrorCode::internal) == static_cast<int>(millrace::ErrorCode::internal) &&
                  static_cast<int>(ErrorCode::in_use) == static_cast<int>(millrace::ErrorCode::in_use),
              "the codes on the wire are those of result.hpp");

std::vector<std::byte> encode(const MessageT& message) {
  flatbuffers::FlatBufferBuilder builder(512);
  FinishMessageBuffer(builder, Message::Pack(builder, &message));
  const auto* begin = reinterpret_cast<const std::byte*>(builder.GetBufferPointer());
  return {begin, begin + builder.GetSize()};
}

Result<MessageT> decode(std::span<const std::byte> bytes) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  flatbuffers::Verifier verifier(data, bytes.size(), 16, 4096);
  if (bytes.size() < 8 || bytes.size() > message_size_max || !VerifyMessageBuffer(verifier)) {
    return fail(millrace::ErrorCode::invalid_argument,
                "a packet of " + std::to_string(bytes.size()) + " bytes is no control message");
  }
  const std::unique_ptr<MessageT> message = UnPackMessage(data);
  if (message->body.type == Body::NONE) {
    return fail(millrace::ErrorCode::invalid_argument, "a control message without a body");
  }
  return std::move(*message);
}

MessageT make_error(const Error& error, std::uint64_t correlation) {
  ErrorAnswerT answer;
  answer.code = static_cast<ErrorCode>(error.code);
  answer.message = error.message;
  return make_message(std::move(answer), correlation);
}

Error to_error(const ErrorAnswerT& answer) {
  return {static_cast<millrace::ErrorCode>(answer.code), answer.message};
}

}  // namespace millrace::control
