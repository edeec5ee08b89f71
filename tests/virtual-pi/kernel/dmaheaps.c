// SPDX-License-Identifier: GPL-2.0
/*
 * dmaheaps - dma-heap and its system heap as one module, for kernels built without them
 *
 * Both files are the kernel's own. They start themselves by initcalls, of which a module has one;
 * so those are taken out, and called here in their order.
 */
#include <linux/init.h>
#include <linux/module.h>

#undef subsys_initcall
#define subsys_initcall(function)
#undef module_init
#define module_init(function)

#include "dma-heap.c"
#include "system_heap.c"

static int __init dmaheaps_init(void)
{
	int ret = dma_heap_init();

	if (ret)
		return ret;
	ret = system_heap_create();
	if (ret) {
		class_destroy(dma_heap_class);
		unregister_chrdev_region(dma_heap_devt, NUM_HEAP_MINORS);
	}
	return ret;
}

/* What module_init() would have made. No exit: the heaps stay. */
int init_module(void) __copy(dmaheaps_init) __alias(dmaheaps_init);

MODULE_DESCRIPTION("dma-heap and its system heap as a module");
MODULE_IMPORT_NS(DMA_BUF);
