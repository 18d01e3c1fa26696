;; Unmasks the first $end bytes of the memory, of which there are a multiple of 64 and at least 64 (RFC 6455 section 5.3).
;; Returns 0x80 if any byte of the result has its top bit set, otherwise 0.
;;
;; mask.ts holds this module in binary form; mask.test.ts sees that it is this one.
(module
  (memory (export "memory") 1 1)
  (func (export "unmask") (param $end i32) (param $key i32) (result i32)
    (local $at i32)
    (local $keys v128)
    (local $bytes v128)
    ;; Two, so that no addition to them has to wait for the one before
    (local $even v128)
    (local $odd v128)
    (local.set $keys (i32x4.splat (local.get $key)))
    (loop $next
      (v128.store (local.get $at)
        (local.tee $bytes (v128.xor (v128.load (local.get $at)) (local.get $keys))))
      (local.set $even (v128.or (local.get $even) (local.get $bytes)))
      (v128.store offset=16 (local.get $at)
        (local.tee $bytes (v128.xor (v128.load offset=16 (local.get $at)) (local.get $keys))))
      (local.set $odd (v128.or (local.get $odd) (local.get $bytes)))
      (v128.store offset=32 (local.get $at)
        (local.tee $bytes (v128.xor (v128.load offset=32 (local.get $at)) (local.get $keys))))
      (local.set $even (v128.or (local.get $even) (local.get $bytes)))
      (v128.store offset=48 (local.get $at)
        (local.tee $bytes (v128.xor (v128.load offset=48 (local.get $at)) (local.get $keys))))
      (local.set $odd (v128.or (local.get $odd) (local.get $bytes)))
      (local.set $at (i32.add (local.get $at) (i32.const 64)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
    (i32.shl
      (v128.any_true (v128.and (v128.or (local.get $even) (local.get $odd)) (i8x16.splat (i32.const 0x80))))
      (i32.const 7))))
