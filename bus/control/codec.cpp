#include "bus/control/codec.hpp"

#include <string>

namespace millrace::control {

static_assert(static_cast<int>(ErrorCode::internal) == static_cast<int>(millrace::ErrorCode::internal) &&
                  static_cast<int>(ErrorCode::in_use) == static_cast<int>(millrace::ErrorCode::in_use),
              "the codes on the wire are those of result.hpp");

namespace {

Result<const Message*> verify(std::span<const std::byte> bytes, std::size_t size_max) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  flatbuffers::Verifier verifier(data, bytes.size(), 16, 4096);
  if (bytes.size() < 8 || bytes.size() > size_max || !VerifyMessageBuffer(verifier)) {
    return fail(millrace::ErrorCode::invalid_argument,
                "a packet of " + std::to_string(bytes.size()) + " bytes is no control message");
  }
  const Message* message = GetMessage(data);
  // The verifier lets a kind without a body pass, and a kind that it does not know.
  if (message->body_type() == Body::NONE || message->body_type() > Body::MAX || message->body() == nullptr) {
    return fail(millrace::ErrorCode::invalid_argument,
                "a control message has no body, or one of a kind that this release does not know");
  }
  return message;
}

Result<MessageT> unpack(const Message& message) {
  MessageT unpacked;
  message.UnPackTo(&unpacked);
  return unpacked;
}

bool is_request(Body body) {
  switch (body) {
    case Body::Hello:
    case Body::AttachPublisher:
    case Body::AttachSubscriber:
    case Body::DetachSubscriber:
    case Body::DetachPublisher:
    case Body::GetStatus:
    case Body::ReopenTopic:
    case Body::ResetConsumer:
    case Body::DeleteConsumer:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::vector<std::byte> encode(const MessageT& message) {
  flatbuffers::FlatBufferBuilder builder(512);
  FinishMessageBuffer(builder, Message::Pack(builder, &message));
  const auto* begin = reinterpret_cast<const std::byte*>(builder.GetBufferPointer());
  return {begin, begin + builder.GetSize()};
}

Result<MessageT> decode(std::span<const std::byte> bytes) {
  const auto message = verify(bytes, message_size_max);
  if (!message) return fail(message.error());
  return unpack(**message);
}

Result<MessageT> decode_request(std::span<const std::byte> bytes) {
  const auto verified = verify(bytes, request_size_max);
  if (!verified) return fail(verified.error());
  const Message& message = **verified;
  // Before it is unpacked: tables may share what they point to, so that 96 KiB of the core's own kind become a
  // gigabyte.
  if (!is_request(message.body_type())) {
    return fail(millrace::ErrorCode::invalid_argument,
                std::string("a client does not send ") + EnumNameBody(message.body_type()));
  }
  const AttachSubscriber* subscriber = message.body_as_AttachSubscriber();
  if (subscriber != nullptr && subscriber->level() > Level::MAX) {
    return fail(millrace::ErrorCode::invalid_argument,
                "a subscription's level is live, recorded or synced, not number " +
                    std::to_string(static_cast<int>(subscriber->level())));
  }
  return unpack(message);
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
