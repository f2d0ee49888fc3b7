// Decodes any bytes as a request of a client: what is taken has a body, and is not much larger than its bytes.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "bus/base/assert.hpp"
#include "bus/control/codec.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace control = millrace::control;
  // In an allocation of their own that ends where the bytes do, so that the sanitizer sees reads beyond.
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(data[i]);
  if (const auto request = control::decode_request(bytes)) {
    MILLRACE_ASSERT(request->body.value != nullptr, "a request has a body");
    MILLRACE_ASSERT(control::encode(*request).size() < 1024 + 8 * size, "a request does not blow up");
    MILLRACE_ASSERT(control::decode(bytes).has_value(), "a request is a message");
  }
  return 0;
}
